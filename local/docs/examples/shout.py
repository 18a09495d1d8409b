from pathlib import Path

for source in Path("/opt/ml/processing/input").glob("*.txt"):
    print("reading", source)
    Path("/opt/ml/processing/output", source.name).write_text(source.read_text().upper())

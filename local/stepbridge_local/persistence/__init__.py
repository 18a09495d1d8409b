"""What the local AWS keeps in its data folder, so that a restart finds it again. Knows nothing of moto."""

"""SageMaker Processing: ``service`` has the operations, ``contract`` what is honoured of a request, ``runner`` a job.

Knows neither moto nor a container engine; see ``protocols``. ``moto`` answers the API with it.
"""

"""What the services' touches of moto share: the application, its requests and errors, replacing parts of moto."""

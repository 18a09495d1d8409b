"""The data that the local AWS keeps in its data folder through a restart. Independent of moto."""

"""DVC and git: the only package that names them, so that what is sealed and recorded can be read without either."""

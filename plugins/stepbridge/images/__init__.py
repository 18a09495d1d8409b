"""Images: the build context and its digest, and builds behind the protocol ``Builder``. Only CodeBuild builds today."""

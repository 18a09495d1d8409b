"""Images: the build context and its digest, and builds in CodeBuild."""

"""The service `ppface serve`: detection, embeddings and a gallery of people over HTTP; needs the extra `serve`."""

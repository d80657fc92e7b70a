"""WSGI, as Flask speaks it. Run: ``addax --interface wsgi examples.wsgi_app:app`` (needs the extra ``wsgi``)."""

from wsgiref.util import application_uri


def app(environ, start_response):
    """Echo a POST, greet everybody else."""
    body = f"Hello from WSGI at {application_uri(environ)}\n".encode()
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

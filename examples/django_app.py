"""Django in one file. Run: ``addax examples.django_app:app``."""

import asyncio

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1", "localhost"], ROOT_URLCONF=__name__, SECRET_KEY="for this example only"
    )


async def home(request):
    """Asynchronous views run on addax's own event loop."""
    return JsonResponse({"path": request.path, "agent": request.headers.get("user-agent")})


async def count(request):
    """A stream of ten lines."""

    async def lines():
        for number in range(10):
            yield f"{number}\n"
            await asyncio.sleep(0.1)

    return StreamingHttpResponse(lines(), content_type="text/plain")


urlpatterns = [path("", home), path("count", count)]
app = get_asgi_application()

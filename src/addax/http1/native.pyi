from addax.core.settings import Http1Settings
from addax.core.types import Headers
from addax.http1.parser import ParserHandler
from addax.http1.reader import StrictParser

class NativeParser(StrictParser):
    def __init__(self, handler: ParserHandler, settings: Http1Settings) -> None: ...
    def cut(self, head: bytes) -> Headers: ...

"""A server that takes and gives repositories, by what huggingface_hub uses of Hugging Face's protocol."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

TOKEN = "hf_right"
COMMIT = "0" * 40


class Hub(BaseHTTPRequestHandler):
    """One request; what was uploaded is kept by repository and file."""

    repositories: ClassVar[dict[str, dict[str, bytes]]] = {}
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Make a repository, say how files are to be sent, or take a commit."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given['type']}s/{given['organization']}/{given['name']}"
            self.repositories.setdefault(name, {})
            self.answer({"url": f"http://{self.headers['Host']}/{name.removeprefix('models/')}"})
        elif "/preupload/" in self.path:
            how = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer({"files": [{"path": file["path"], **how} for file in json.loads(body)["files"]]})
        elif "/commit/" in self.path:
            name = self.path.removeprefix("/api/").partition("/commit/")[0]
            for change in map(json.loads, body.splitlines()):
                if change["key"] == "file":
                    value = change["value"]
                    self.repositories[name][value["path"]] = base64.b64decode(value["content"])
            self.answer({"commitUrl": f"http://{self.headers['Host']}/{name}", "commitOid": COMMIT})
        else:
            self.answer({"error": f"no {self.path}"}, 200 if self.path == "/api/validate-yaml" else 404)

    def do_GET(self) -> None:
        """Give the list of files, or a file."""
        name, _, file = self.path.partition("?")[0].strip("/").partition("/resolve/")
        if file:
            self.send(self.repositories[f"models/{name}"][file.partition("/")[2]])
            return
        name = name.removeprefix("api/").partition("/revision/")[0].partition("/tree/")[0]
        files = self.repositories.get(name)
        if files is None:
            self.answer({"error": f"no {self.path}"}, 404)
        elif "/tree/" in self.path:
            entries = [
                {"type": "file", "path": path, "size": len(files[path]), "oid": etag(files[path])}
                for path in files
            ]
            self.answer(entries)
        else:
            siblings = [{"rfilename": path} for path in files]
            self.answer({"id": name.removeprefix("models/"), "sha": COMMIT, "siblings": siblings})

    def do_HEAD(self) -> None:
        """Give the headers of a file."""
        self.do_GET()

    def answer(self, values: Any, status: int = 200) -> None:
        """Send JSON."""
        self.send(json.dumps(values).encode(), status)

    def send(self, content: bytes, status: int = 200) -> None:
        """Send bytes with the headers by which the hub names a version of a file."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{etag(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Print nothing."""


def etag(content: bytes) -> str:
    """The name of a version of a file, by its content."""
    return hashlib.sha1(content).hexdigest()

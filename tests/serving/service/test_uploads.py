"""Uploads are deleted, those of a killed service by the next one."""

from pathlib import Path

from wsvad_lightning.serving.service.uploads import remove_uploads, upload


def test_an_upload_is_deleted_and_that_of_a_killed_service_at_the_next_start(uploads: Path) -> None:
    left = uploads / ".wsvad-upload.12345678.tmp"
    left.write_bytes(b"of a service that was killed")
    other = uploads / "other.tmp"
    other.touch()
    with upload() as path:
        path.write_bytes(b"of a service that runs")
        remove_uploads()
        assert {*uploads.iterdir()} == {path, other}
        assert path.stat().st_mode & 0o077 == 0
    assert list(uploads.iterdir()) == [other]

"""Templates are read again when their files change, and a change for the worse replaces nothing."""

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from poster_service.errors import InvalidData, PageFailed, UnknownTemplate
from poster_service.render import folder as folders
from poster_service.render.folder import is_settled, snapshot, stamps_of
from poster_service.render.markup import Templates
from poster_service.render.page_files import NO_STORE, template_file
from poster_service.render.template import Reader, Template
from tests.unit.template_folders import SAMPLE, make


def shown(templates: Templates, name: str = "card", **data: Any) -> str:
    """The page as the next render has it."""
    return templates.render(templates.find(name), {**SAMPLE, **data})


def names(templates: Templates) -> list[str]:
    """Those that are listed."""
    return [one["name"] for one in templates.list()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one template, which includes a file beside it."""
    root = make(tmp_path, "{% include 'shared/a.html' %}{{ title }}", style__css="p {}")
    (root / "shared").mkdir()
    (root / "shared/a.html").write_text("A:")
    return root


def test_each_file_is_live(root: Path) -> None:
    """Page, include, schema, sample: in the very next render, without a pause."""
    templates = Templates(root)
    assert shown(templates) == "A:T"
    for number in range(20):
        (root / "card/poster.html").write_text("{% include 'shared/a.html' %}" + str(number % 10))
        assert shown(templates) == f"A:{number % 10}"
        (root / "shared/a.html").write_text("B:")
        assert shown(templates) == f"B:{number % 10}"
        (root / "shared/a.html").write_text("A:")
    schema = '{"type": "object", "x-poster": {"width": 9}, "properties": {"title": {"const": "S"}}}'
    (root / "card/sample.json").write_text('{"title": "S"}')
    (root / "card/schema.json").write_text(schema)
    with pytest.raises(InvalidData):
        shown(templates)
    found = templates.find("card")
    assert (found.width, found.sample) == (9, {"title": "S"})


def test_what_others_have_read_is_read_again_only_where_it_has_changed(root: Path) -> None:
    """`Templates` of the same folder, with the entries of earlier ones."""
    time.sleep(2 * folders.SETTLED_NS / 1e9)  # so that no file is young
    first = Templates(root)
    second = Templates(root, known=first.entries)
    assert second.find("card") is first.find("card")
    (root / "card/poster.html").write_text("new {{ title }}")
    third = Templates(root, known=first.entries)
    assert shown(third) == "new T"
    assert third.find("card") is not first.entries["card"].template


def test_a_file_that_is_completed_while_it_is_read_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor empties a file and writes it: what was read in between does not stay."""
    templates = Templates(root)
    sample, read = root / "card/sample.json", Reader.read
    whole = sample.read_text()

    def slowly(reader: Reader) -> Template:
        try:
            return read(reader)
        finally:
            time.sleep(2 * folders.SETTLED_NS / 1e9)  # as long as a busy machine may take
            sample.write_text(whole)

    time.sleep(2 * folders.SETTLED_NS / 1e9)  # so that no other file is young
    sample.write_text("")
    monkeypatch.setattr(Reader, "read", slowly)
    templates.refresh()
    assert list(templates.faults()) != []
    monkeypatch.undo()
    templates.refresh()
    assert list(templates.faults()) == []


def test_folders_come_and_go(root: Path) -> None:
    """By their names at once, in the list at the next look."""
    templates = Templates(root)
    make(root, "new", "later")
    assert shown(templates, "later") == "new"
    make(root, "new", "seen")
    templates.refresh()
    assert names(templates) == ["card", "later", "seen"]
    shutil.rmtree(root / "card")
    with pytest.raises(UnknownTemplate, match="later, seen"):
        templates.find("card")
    shutil.rmtree(root / "seen")
    templates.refresh()
    assert names(templates) == ["later"]
    (root / "notes").mkdir()
    (root / "notes/x.txt").write_text("x")
    templates.refresh()
    assert names(templates) == ["later"]


@pytest.mark.parametrize("file", ["card/poster.html", "card/schema.json", "shared/a.html"])
def test_the_last_good_version_stays_until_it_is_mended(
    root: Path, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The mistake is logged once for each change, and listed as long as it is there."""
    templates = Templates(root)
    before = (root / file).read_text()
    for number, broken in enumerate(("{{ nmae }} {", "{% if x %} {"), start=1):
        (root / file).write_text(broken)
        for _ in range(3):
            assert shown(templates) == "A:T"
            templates.refresh()
        errors = [one for one in caplog.records if one.levelname == "ERROR"]
        assert len(errors) == number
        assert "its previous version stays in use" in errors[-1].getMessage()
        (fault,) = templates.faults()
        assert (fault["name"], fault["in_use"]) == ("card", True)
        assert fault["mistakes"][0].startswith(file)
    (root / file).write_text(before)
    assert shown(templates, title="x") == "A:x"
    assert list(templates.faults()) == []


def test_a_page_that_is_removed_stays_in_use_and_its_folder_does_not(root: Path) -> None:
    """Editors put a file in the place of another; who removes a folder means it."""
    templates = Templates(root)
    (root / "card/poster.html").unlink()
    assert shown(templates) == "A:T"
    assert "card/poster.html: is missing" in templates.faults()[0]["mistakes"]
    shutil.rmtree(root / "card")
    templates.refresh()
    assert names(templates) == []
    assert list(templates.faults()) == []


def test_a_new_folder_with_a_mistake_is_reported_to_who_asks_for_it(root: Path) -> None:
    """Until it is mended; others go on."""
    templates = Templates(root)
    make(root, "\n{{ nmae }}", "late")
    with pytest.raises(PageFailed, match=r"late cannot be used: late/poster.html, line 2: `nmae`"):
        templates.find("late")
    assert [(one["name"], one["in_use"]) for one in templates.faults()] == [("late", False)]
    assert (names(templates), shown(templates)) == (["card"], "A:T")
    (root / "late/poster.html").write_text("ok")
    assert shown(templates, "late") == "ok"
    assert list(templates.faults()) == []


def test_an_include_that_was_missing_is_found_when_it_comes(root: Path) -> None:
    """A file of which only the name was known is watched too."""
    templates = Templates(root)
    page = "{% include ['shared/b.html', 'shared/a.html'] %}"
    (root / "card/poster.html").write_text(page)
    assert shown(templates) == "A:"
    (root / "shared/b.html").write_text("B")
    assert shown(templates) == "B"
    (root / "shared/b.html").unlink()
    assert shown(templates) == "A:"


def test_a_folder_of_templates_that_vanishes_leaves_what_was_read(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A volume that is away for a moment takes no template out of the list; logged once."""
    templates = Templates(root)
    root.rename(root.parent / "away")
    templates.refresh()
    templates.refresh()
    assert names(templates) == ["card"]
    assert [one.levelname for one in caplog.records].count("ERROR") == 1
    (root.parent / "away").rename(root)
    assert shown(templates) == "A:T"


def test_links_are_followed_as_kubernetes_replaces_them(tmp_path: Path) -> None:
    """A volume of a ConfigMap is a link to a folder, which is exchanged as a whole."""
    for name, page in (("one", "1"), ("two", "2")):
        make(tmp_path / "volume", page, f"..{name}")
    card = tmp_path / "t/card"
    card.mkdir(parents=True)
    (card / "..data").symlink_to(tmp_path / "volume/..one")
    for name in ("poster.html", "schema.json", "sample.json"):
        (card / name).symlink_to(f"..data/{name}")
    templates = Templates(tmp_path / "t")
    assert shown(templates) == "1"
    (card / "..new").symlink_to(tmp_path / "volume/..two")
    (card / "..new").replace(card / "..data")
    assert shown(templates) == "2"


def test_many_threads_render_while_files_change(root: Path) -> None:
    """Each gets a page of one moment: the page's number, and that of its include or a later one."""
    templates = Templates(root)
    found: list[str] = []
    stop = threading.Event()

    def render() -> None:
        while not stop.is_set():
            found.append(shown(templates))

    threads = [threading.Thread(target=render) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1000, 1030):
        scratch = root / "scratch"
        scratch.write_text("{% include 'shared/a.html' %}" + f"<{number}>")
        scratch.replace(root / "card/poster.html")
    stop.set()
    for thread in threads:
        thread.join()
    assert shown(templates) == "A:<1029>"
    assert set(found) <= {"A:T", *(f"A:<{number}>" for number in range(1000, 1030))}


# --- the files ---------------------------------------------------------------------------------


def test_a_folders_digest_follows_its_content(tmp_path: Path) -> None:
    """Changed, added, renamed, removed; and the same content has the same digest."""
    (tmp_path / "assets").mkdir()
    style = tmp_path / "assets" / "style.css"
    style.write_text("a")
    seen = [snapshot(tmp_path).digest]
    style.touch()
    assert snapshot(tmp_path).digest == seen[0]
    style.write_text("bb")
    seen.append(snapshot(tmp_path).digest)
    (tmp_path / "more.svg").write_text("")
    seen.append(snapshot(tmp_path).digest)
    style.rename(tmp_path / "assets" / "other.css")
    seen.append(snapshot(tmp_path).digest)
    (tmp_path / "assets" / "other.css").unlink()
    seen.append(snapshot(tmp_path).digest)
    assert len(set(seen)) == len(seen)
    (tmp_path / "more.svg").unlink()
    style.write_text("a")
    assert snapshot(tmp_path).digest == seen[0]


def test_the_version_of_a_template_is_that_of_its_files(root: Path) -> None:
    """Also of those of a version that stays in use for want of a better one."""
    templates = Templates(root)
    seen = [templates.find("card").files.digest]
    (root / "card/style.css").write_text("b {}")
    seen.append(templates.find("card").files.digest)
    (root / "card/poster.html").write_text("{{ nmae }}")
    seen.append(templates.find("card").files.digest)
    (root / "card/style.css").write_text("i {}")
    seen.append(templates.find("card").files.digest)
    assert len(set(seen)) == 4
    assert seen[-1] == snapshot(root / "card").digest


def test_a_file_that_changed_just_now_is_looked_at_again(tmp_path: Path) -> None:
    """Its times may stay the same when it changes once more; a time to come is no reason."""
    (tmp_path / "a").write_text("x")
    stamps = stamps_of(tmp_path)
    (stamp,) = stamps.values()
    assert stamp is not None
    assert not is_settled(stamps, stamp[3] + folders.SETTLED_NS - 1)
    assert is_settled(stamps, stamp[3] + folders.SETTLED_NS)
    assert is_settled(stamps, stamp[3] - 1)
    assert is_settled({"gone": None})


def test_a_file_of_another_moment_than_the_page_is_not_for_the_cache(root: Path) -> None:
    """Changed, new or gone since the template was read: the page gets it, and it says so."""
    card = root / "card"
    files = Templates(root).find("card").files
    plain = (("Content-Type", "text/css"),)
    assert template_file(card, "style.css", files).headers == plain
    assert NO_STORE not in template_file(card, "missing.css", files).headers
    assert NO_STORE not in template_file(card, "", files).headers
    (card / "style.css").write_text("b { }")
    changed = template_file(card, "style.css?v=2", files)
    assert (changed.body, changed.headers) == (b"b { }", (*plain, NO_STORE))
    (card / "style.css").unlink()
    assert (template_file(card, "style.css", files).status) == 404
    assert NO_STORE in template_file(card, "style.css", files).headers
    (card / "new.css").write_text("")
    assert NO_STORE in template_file(card, "new.css", files).headers
    assert template_file(card, "new.css").headers == plain


def settle(*files: Path) -> None:
    """Give files times so old that another change has others."""
    for file in files:
        os.utime(file, (1, 1))
    time.sleep(2 * folders.SETTLED_NS / 1e9)  # the time of the status cannot be set


def test_a_remembered_file_is_read_again_once_it_has_changed(root: Path) -> None:
    """In place, by another file, by a symbolic link that leads elsewhere, and when it is gone."""
    card = root / "card"
    one, other = card / "one.css", card / "other.css"
    one.write_text("one")
    other.write_text("two")
    link = card / "link.css"
    link.symlink_to(one)
    settle(one, other)
    for name in ("one.css", "link.css", "link.css"):
        assert template_file(card, name).body == b"one"
    link.unlink()
    link.symlink_to(other)
    assert template_file(card, "link.css").body == b"two"
    one.write_text("ONE")
    assert template_file(card, "one.css").body == b"ONE"
    other.replace(one)
    assert template_file(card, "one.css").body == b"two"
    assert template_file(card, "link.css").status == 404
    outside = root / "secret.css"
    outside.write_text("secret")
    settle(outside)
    one.unlink()
    one.symlink_to(outside)
    assert template_file(card, "one.css").status == 404


def test_a_remembered_file_is_not_opened_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it found out again where its path leads."""
    card = root / "card"
    settle(card / "style.css")
    first = template_file(card, "style.css")
    monkeypatch.setattr(Path, "read_bytes", None)
    monkeypatch.setattr(Path, "resolve", None)
    assert template_file(card, "style.css?v=1") == first
    assert first.body == (card / "style.css").read_text().encode()


@pytest.mark.parametrize("where", ["as it is", "relative"])
def test_looking_at_a_template_that_did_not_change_reads_no_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Its stamps are enough, once they are settled."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(folders, "SETTLED_NS", 0)
    templates = Templates(root if where == "as it is" else Path())
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was read"))
    before = templates.generation
    assert templates.find("card") is templates.find("card")
    templates.refresh()
    assert templates.generation == before


def test_what_is_no_file_and_what_is_hidden_holds_nothing_up(root: Path) -> None:
    """A FIFO without a writer, a dangling link; a hidden folder is no template."""
    os.mkfifo(root / "card/pipe")
    (root / "card/nowhere").symlink_to("gone")
    make(root, "{{ nmae }}", ".git")
    templates = Templates(root)
    assert names(templates) == ["card"]
    assert set(templates.find("card").files.stamps) == {
        "poster.html", "schema.json", "sample.json", "style.css"
    }  # fmt: skip

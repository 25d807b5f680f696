"""The pages that are sent: posters as people make them, and pages made to do harm.

The harm of every page is bounded, in memory and in time.
"""

from random import Random

_CHINESE = (
    "海上生明月天涯共此时情人怨遥夜竟夕起相思灭烛怜光满披衣觉露滋不堪盈手赠还寝梦佳期"
    "春江潮水连海平滟滟随波千万里何处无江流宛转绕芳甸月照花林皆似霰空里流霜不觉飞"
)
_WORDS = ("lighthouse", "harbour", "lantern", "tide", "gull", "rope", "sail", "anchor", "compass")
_COLOURS = ("#0b3954", "#bfd7ea", "#ff6663", "#e0ff4f", "#087e8b", "#f4d35e", "#ee964b")

#: Memory that the largest hostile page fills, in MiB; a Chrome renders such a page normally.
FILL_MIB = 256


def card(dice: Random) -> str:
    """A plain card: a heading, a line, a gradient."""
    one, two = dice.sample(_COLOURS, 2)
    title = " ".join(dice.choices(_WORDS, k=3)).title()
    return (
        f"<!doctype html><style>body{{margin:0;height:100vh;display:grid;place-items:center;"
        f"font:600 42px sans-serif;background:linear-gradient(135deg,{one},{two})}}</style>"
        f"<div><h1>{title} 你好 👋</h1><p>No. {dice.randrange(10_000)}</div>"
    )


def chinese(dice: Random) -> str:
    """A wall of Chinese text: shaping and glyphs dominate."""
    paragraphs = "".join(
        f"<p>{''.join(dice.choices(_CHINESE, k=dice.randrange(120, 360)))}。" for _ in range(12)
    )
    return (
        "<!doctype html><html lang=zh-CN><style>body{font:20px/1.7 serif;margin:40px;"
        f"columns:2}}</style><h1>{''.join(dice.choices(_CHINESE, k=7))}</h1>{paragraphs}"
    )


def long(dice: Random) -> str:
    """A page several screens long, for `full_page`."""
    rows = "".join(
        f"<div style='height:{dice.randrange(60, 180)}px;background:{dice.choice(_COLOURS)}'>"
        f"{number}</div>"
        for number in range(40)
    )
    return f"<!doctype html><body style='margin:0'>{rows}"


def _hostile(script: str) -> str:
    return f"<!doctype html><title>hostile</title><p>hostile<script>{script}</script>"


def crash(_: Random) -> str:
    """Crashes its renderer: an array that V8 cannot create (a fatal error, in half a second)."""
    return _hostile("'x'.repeat(2 ** 28).split('')")


def loop(_: Random) -> str:
    """Computes for ever."""
    return _hostile("for (;;) {}")


def popups(dice: Random) -> str:
    """Opens windows, by script and by links that it clicks itself."""
    return _hostile(
        f"for (let i = 0; i < {dice.randrange(3, 12)}; i++) {{ open('about:blank');"
        "const a = document.createElement('a'); a.target = '_blank'; a.href = 'about:blank';"
        "document.body.append(a); a.click() }"
    )


def workers(dice: Random) -> str:
    """Starts workers that compute for ever and outlive the page's own script."""
    return _hostile(
        "const u = URL.createObjectURL(new Blob(['for (;;) {}']));"
        f"for (let i = 0; i < {dice.randrange(2, 6)}; i++) new Worker(u)"
    )


def memory(dice: Random) -> str:
    """Fills memory up to a limit and goes on."""
    pieces = dice.randrange(2, FILL_MIB // 32 + 1)
    return _hostile(
        f"window.held = []; for (let i = 0; i < {pieces}; i++)"
        " held.push(new Uint8Array(32 << 20).fill(i))"
    )


def reloads(_: Random) -> str:
    """Never finishes loading: it reloads itself."""
    return _hostile("location.reload()")


def waits(_: Random) -> str:
    """Never finishes loading: it rewrites its own document again and again."""
    return _hostile(
        "setInterval(() => { document.open(); document.write('<p>again'.repeat(2000)) }, 1)"
    )


def frames(dice: Random) -> str:
    """Dozens of frames."""
    return _hostile(
        f"for (let i = 0; i < {dice.randrange(10, 60)}; i++) {{"
        "const f = document.createElement('iframe'); f.srcdoc = '<p>' + i;"
        "document.documentElement.append(f) }"
    )

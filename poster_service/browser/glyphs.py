"""Scripts that run in a page and find what its text lacks: glyphs, late fonts, WebGL.

A page may have replaced any function that these call, and so may answer anything; all that it gains
is a warning more or less about its own render. Each script is bounded in nodes, characters and
time.
"""

import base64
from importlib import resources

#: At most so many of a page's less common characters are checked for glyphs.
MAX_CHARACTERS = 4_096
#: What may have happened on a page, and the reason that its warning gives.
SEEN_KINDS = {"webgl": "unavailable", "font_display": "late"}
#: Code points named in a warning.
MAX_NAMED = 20
#: A font of one blank glyph, 16 em wide, for every code point from U+0180 on (a cmap of format 13).
#: As the last fallback behind a page's own fonts it draws what none of them has, which the width of
#: the text shows.
_WIDE = base64.b64encode(
    resources.files("poster_service.browser").joinpath("wide.ttf").read_bytes()
).decode()

# Runs in every document before its own scripts. It uses proxies, so that scripts that inspect the
# methods find native ones.
LISTEN = """((key) => {
    const seen = new Set();
    Object.defineProperty(window, key, {value: seen});
    const failed = (event) => {
        // A canvas that has another context already: WebGL is not missing.
        if (/existing context/.test(event.statusMessage)) return;
        seen.add('webgl');
        try { top[key].add('webgl'); } catch {}  // another origin's
    };
    for (const canvas of [window.HTMLCanvasElement, window.OffscreenCanvas]) {
        if (!canvas) continue;
        canvas.prototype.getContext = new Proxy(canvas.prototype.getContext, {
            apply(method, self, words) {
                const wanted = /^(experimental-)?webgl2?$/.test(words[0]);
                if (wanted) self.addEventListener('webglcontextcreationerror', failed);
                try {
                    return Reflect.apply(method, self, words);
                } finally {
                    if (wanted) self.removeEventListener('webglcontextcreationerror', failed);
                }
            },
        });
    }
    // Style sheets are changed before they get here (render/font_display.py); this is for scripts.
    window.FontFace = new Proxy(window.FontFace, {
        construct(kind, words, target) {
            const font = Reflect.construct(kind, words, target);
            if (font.display === 'optional') font.display = 'block';
            return font;
        },
    });
    document.fonts.addEventListener('loading', () => {
        for (const font of document.fonts) if (font.display === 'optional') font.display = 'block';
    });
})(%s)"""

# Steps through what a document shows: its text, values and shadow trees, frames of its own origin.
# `visit` gets an element and text that belongs to it; whether it is displayed is not asked here.
_WALK = """
    const SILENT = new Set(['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'TITLE', 'IFRAME']);
    let nodes = 20000;
    const walk = (root, visit) => {
        const walker = (root.ownerDocument ?? root).createTreeWalker(root, 5);
        for (let node = walker.currentNode; node && nodes-- > 0; node = walker.nextNode()) {
            if (node.nodeType === 3) {
                const owner = node.parentElement ?? root.host;
                if (owner && !SILENT.has(owner.nodeName)) visit(owner, node.data, node);
            } else if (node.nodeType === 1) {
                if (node.shadowRoot) walk(node.shadowRoot, visit);
                if (node.nodeName === 'INPUT' || node.nodeName === 'TEXTAREA') {
                    if (!['hidden', 'password'].includes(node.type)) {
                        visit(node, node.value || node.placeholder);
                    }
                } else if (node.nodeName === 'IFRAME' && node.contentDocument) {
                    walk(node.contentDocument, visit);
                }
            }
        }
    };
    let rules = 2000;
    const generated = (list, visit) => {
        for (const rule of list) {
            if (rules-- <= 0) return;
            const content = rule.style?.content;
            if (content && content !== 'normal' && content !== 'none') visit(rule, content);
            if (rule.cssRules?.length) generated(rule.cssRules, visit);
        }
    };
    const styled = (page, visit) => {
        for (const sheet of [...page.styleSheets, ...page.adoptedStyleSheets]) {
            try { generated(sheet.cssRules, visit); } catch {}  // another origin's
        }
    };
"""

#: Every character from U+0180 on that the page may show, once, as a string.
TEXT = f"""(() => {{ try {{
    {_WALK}
    const seen = new Set();
    let left = 262144;
    const visit = (_, text) => {{
        if (left <= 0 || !text || !/[^\\0-\\u017f]/.test(text)) return;
        if (text.length > left) text = text.slice(0, left);
        left -= text.length;
        for (const one of text) if (one > '\\u017f' && !/^\\p{{Cs}}$/u.test(one)) seen.add(one);
    }};
    walk(document, visit);
    styled(document, visit);
    return [...seen].slice(0, {MAX_CHARACTERS}).join('');
}} catch {{ return ''; }} }})()"""

# Of characters that no installed font has, finds those that are displayed and that the page's own
# fonts lack too. A font that has all of them is the last fallback of the element; where its width
# is measured, no font before it had a glyph.
_UNDRAWN = f"""(async (wanted) => {{
    {_WALK}
    const until = performance.now() + 500, found = new Set(), name = 'poster-wide';
    const bytes = Uint8Array.from(atob('{_WIDE}'), (one) => one.charCodeAt(0));
    const ready = new Map();
    const prepare = async (page) => {{
        const has = [...page.fonts].some((font) => font.status === 'loaded');
        if (!has) return ready.set(page, null);
        const font = new page.defaultView.FontFace(name, bytes);
        await font.load();
        page.fonts.add(font);
        ready.set(page, {{font, pen: page.createElement('canvas').getContext('2d')}});
    }};
    const lacks = (owner, style, one) => {{
        const tools = ready.get(owner.ownerDocument);
        if (!tools) return true;
        const {{fontStyle, fontWeight, fontFamily}} = style;
        tools.pen.font = `${{fontStyle}} ${{fontWeight}} 100px ${{fontFamily}}, ${{name}}`;
        return tools.pen.measureText(one).width >= 1599;
    }};
    const displayed = (owner, node) => {{
        if (!owner.checkVisibility({{visibilityProperty: true}})) return false;
        const range = node && owner.ownerDocument.createRange();
        range?.selectNodeContents(node);
        return [...(range ?? owner).getClientRects()].some((box) => box.width && box.height);
    }};
    const look = (owner, text, node, pseudo) => {{
        if (!text || performance.now() > until) return;
        const ones = [...new Set(text)].filter((one) => wanted.has(one) && !found.has(one));
        if (!ones.length || (pseudo ? !owner.checkVisibility() : !displayed(owner, node))) return;
        const style = owner.ownerDocument.defaultView.getComputedStyle(owner, pseudo);
        if (pseudo && (style.content === 'none' || style.display === 'none')) return;
        for (const one of ones) {{
            const shown = !pseudo || style.content.includes(one);
            if (shown && lacks(owner, style, one)) found.add(one);
        }}
    }};
    const content = (rule, text) => {{
        if (performance.now() > until || ![...text].some((one) => wanted.has(one))) return;
        for (const part of rule.selectorText?.split(',') ?? []) {{
            const cut = part.match(/^(.*?)(::?(?:before|after|marker))\\s*$/s);
            if (!cut) continue;
            const owners = document.querySelectorAll(cut[1].trim() || '*');
            for (const owner of [...owners].slice(0, 200)) look(owner, text, null, cut[2]);
        }}
    }};
    const pages = [document], extra = (page) => {{
        for (const frame of page.querySelectorAll('iframe')) {{
            const inner = frame.contentDocument;
            if (inner && pages.length < 50) {{ pages.push(inner); extra(inner); }}
        }}
    }};
    extra(document);
    await Promise.all(pages.map(prepare));
    try {{
        walk(document, look);
        styled(document, (rule, text) => {{ try {{ content(rule, text); }} catch {{}} }});
    }} finally {{
        for (const [page, tools] of ready) if (tools) page.fonts.delete(tools.font);
    }}
    return [...found].join('');
}})(new Set(%s))"""

# What LISTEN has seen, and fonts that came too late to be used.
SEEN = """((seen) => { try {
    const late = (page) => [...page.fonts].some((font) =>
            font.display === 'optional' && font.status === 'loaded')
        || [...page.querySelectorAll('iframe')].slice(0, 50).some((frame) =>
            frame.contentDocument && late(frame.contentDocument));
    return [...(seen ?? []), ...(late(document) ? ['font_display'] : [])];
} catch { return []; } })(window[%s])"""


def undrawn(characters: str) -> str:
    """The script that finds which of these characters are displayed without a glyph.

    Its value is a string of those characters.
    """
    listed = ",".join(f'"\\u{{{ord(one):x}}}"' for one in characters[:MAX_CHARACTERS])
    return _UNDRAWN % f"[{listed}]"


def parse_kinds(value: object) -> tuple[str, ...]:
    """Which of `SEEN_KINDS` a page reports; the page may report anything."""
    return tuple(kind for kind in SEEN_KINDS if isinstance(value, list) and kind in value)


def parse_characters(value: object) -> str:
    """The characters that a page reports; the page may report anything."""
    return value[:MAX_CHARACTERS] if isinstance(value, str) else ""


def code_points(characters: str) -> dict[str, str]:
    """The parameters of a warning about characters: at most `MAX_NAMED`, and how many more."""
    ordered = sorted(set(characters))
    named = " ".join(f"U+{ord(one):04X}" for one in ordered[:MAX_NAMED])
    more = len(ordered) - MAX_NAMED
    return {"codepoints": named, **({"more": str(more)} if more > 0 else {})}

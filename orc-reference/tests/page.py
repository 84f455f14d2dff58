"""Drives the web page: page.py ADDRESS CHROMIUM, with KUBECONFIG of the cluster.

With ORC_PAGE_IMAGES=DIR it writes page-light.png and page-dark.png there.
"""

import json
import os
import subprocess
import sys

from playwright.sync_api import expect, sync_playwright

address, chromium = sys.argv[1:3]
images = os.environ.get("ORC_PAGE_IMAGES")
expect.set_options(timeout=60_000)

WORK = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: main, image: host, command: [sleep, "3600"]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - {name: main, image: host, command: ["true"]}
"""

TALKER = """
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: host
    command: [sh, -c, "echo '<b>first</b> line'; i=0; while sleep 0.5; do i=$((i+1)); echo tick $i; done"]
"""


def kubectl(*args, text=None):
    subprocess.run(["kubectl", *args], input=text, text=True, check=True, stdout=subprocess.DEVNULL)


def main(play):
    browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 720})
    page = context.new_page()
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda line: troubles.append(line.text) if line.type == "error" else None)

    # Without a token there is a form; a wrong one is refused in words.
    base, token = address.split("#token=")
    page.goto(base)
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#login-error")).to_contain_text("Unauthorized")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#title")).to_contain_text("Pods")
    troubles.clear()  # the browser's lines about the 401

    # The address of `orc ui` signs in by itself and leaves no token behind.
    page = context.new_page()
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(address)
    expect(page.locator("#title")).to_contain_text("Pods")
    assert page.url == base, page.url
    assert page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == '[{},{},""]'

    kubectl("apply", "-f", "-", text=WORK)
    running = page.locator("tr", has_text="web-").filter(has_text="Running")
    expect(running).to_have_count(3)
    kubectl("apply", "-f", "-", text=TALKER)
    row = page.locator("tr", has_text="talker")
    expect(row).to_contain_text("Running")

    # By keyboard: a row, its details, and the log as it goes on.
    row.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_contain_text("kind: Pod")
    expect(page.locator("#text")).to_contain_text("image: host")
    page.get_by_role("tab", name="Log: main").click()
    expect(page.locator("#text")).to_contain_text("<b>first</b> line")
    expect(page.locator("#text")).to_contain_text("tick 3")
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()

    # Search, namespaces, the other views.
    page.keyboard.press("/")
    page.keyboard.type("talk")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("#search").fill("")
    page.get_by_label("Namespace").select_option("kube-system")
    expect(row).to_have_count(0)
    page.get_by_label("Namespace").select_option("default")
    expect(row).to_have_count(1)
    page.get_by_role("button", name="Workloads").click()
    expect(page.locator("tr", has_text="nightly")).to_contain_text("CronJob")
    expect(page.locator("tr", has_text="Deployment")).to_contain_text("3/3")
    page.keyboard.press("Escape")
    page.locator("#title").click()
    page.keyboard.press("4")
    expect(page.locator("tbody tr", has_text="Scheduled").first).to_be_visible()
    page.keyboard.press("1")
    expect(page.locator("tr", has_text="node-1")).to_contain_text("Ready")
    page.keyboard.press("3")
    kubectl("delete", "pod", "talker", "--wait=false")
    expect(row).to_have_count(0)
    expect(running).to_have_count(3)

    ground = "getComputedStyle(document.body).backgroundColor"
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours.append(page.evaluate(ground))
        if images:
            page.wait_for_function("!document.querySelector('tr.fresh') || document.getAnimations().length === 0")
            page.screenshot(path=f"{images}/page-{scheme}.png")
    assert colours[0] != colours[1], colours
    # Pods start on the browser's own machine and change its networks; the page has to live with that, and has.
    troubles = [text for text in troubles if "ERR_NETWORK_CHANGED" not in text]
    assert not troubles, json.dumps(troubles, indent=1)
    browser.close()
    print("all seen")


with sync_playwright() as play:
    main(play)

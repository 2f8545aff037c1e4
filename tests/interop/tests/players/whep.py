"""The HTTP of a WHEP player."""

import urllib.request


def post(url, token, offer):
    """Sends the offer and returns the answer."""
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, offer.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{error.code}: {error.read().decode()}")


def without_group(description):
    """Removes the BUNDLE group, as a player that knows no bundle writes its offer."""
    lines = description.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("a=group:"))

"""Names and bounds of the Porthole integration."""

from datetime import timedelta
import logging

DOMAIN = "porthole"
LOGGER = logging.getLogger(__package__)

# A camera is shown as unavailable at most this long after its gateway has gone.
POLL_INTERVAL = timedelta(seconds=10)
# The server gives a gateway 15 s to answer an offer.
REQUEST_TIMEOUT_S = 20
# The longest response that is read: a list of 4096 cameras has about 2 MiB.
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
# The longest answer or list of ICE servers that is read.
MAX_ANSWER_BYTES = 256 * 1024
# A server has at most this many cameras that are used here.
MAX_CAMERAS = 4096
# As the server limits what it takes from a player.
MAX_ICE_SERVERS = 16
# ICE servers are asked for at least twice in this time, whatever the server says.
MAX_LIFETIME_S = 3600
MAX_NAME_CHARS = 128
MAX_REASON_CHARS = 300
# Candidates that wait for the answer to the offer; the server reads 64 of one request.
MAX_CANDIDATES = 64
MAX_CANDIDATE_CHARS = 512
# The server has 128 sessions of one token; one camera must not use them all.
MAX_SESSIONS = 64

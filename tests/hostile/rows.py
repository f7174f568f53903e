"""Which test shows what: the hostile inputs that broke other libraries, by CVE where there is one, and their kin.

A test is named by its file, and its function or class. A row that stands in one of the tables of attacks (``needs``) is
tested by each test that goes through that table, too. Tests elsewhere in the suite, which were there before, are
pointed to.
"""

from __future__ import annotations

__all__ = ["ROWS"]

FRAMES = (
    "tests/hostile/test_frames.py::test_driver_ends_with_the_code_and_within_its_memory",
    "tests/hostile/test_frames.py::test_server_ends_with_the_code_within_its_memory_and_serves_on",
    "tests/hostile/test_frames.py::test_client_ends_with_the_code_and_within_its_memory",
)
OLD = (
    "tests/hostile/test_frames.py::test_driver_of_an_old_version_ends_within_its_memory",
    "tests/hostile/test_frames.py::test_server_of_an_old_version_ends_within_its_memory",
)
HEADS = (
    "tests/hostile/test_heads.py::test_driver_answers_with_the_status_and_keeps_nothing",
    "tests/hostile/test_heads.py::test_server_answers_with_the_status_and_serves_on",
)
ANSWERS = (
    "tests/hostile/test_answers.py::test_driver_refuses_it",
    "tests/hostile/test_answers.py::test_client_refuses_it_within_its_memory",
    "tests/hostile/test_answers.py::test_proxy_that_answers_so_is_refused_within_our_memory",
)
TIME = ("tests/hostile/test_time.py::test_time_is_linear",)
INBOUND = (
    "tests/hostile/test_inbound.py::test_messages_that_inflate_wait_packed",
    "tests/hostile/test_inbound.py::test_messages_that_inflate_wait_packed_in_a_client_too",
)
ORIGINS = (
    "tests/driver/test_origins.py::test_origin_that_only_looks_right_is_refused",
    "tests/driver/test_origins.py::test_origin_of_every_version_is_judged",
    "tests/green/test_origins.py::TestOrigins",
    "tests/hostile/test_origins.py",
)
EVENT_STREAMS = (
    "tests/hostile/test_own.py::TestEventStreams",
    "tests/framing/test_eventstream.py::TestHostileValues",
    "tests/green/test_eventsource.py::TestSend::test_one_that_is_refused_leaves_no_trace",
)
TLS = (
    "tests/green/test_client_tls.py::TestChecks::test_system_does_not_know_our_authority",
    "tests/green/test_client_tls.py::TestChecks::test_name_that_the_certificate_does_not_have",
    "tests/green/test_client_tls.py::TestUnchecked",
    "tests/green/test_client_proxy.py::TestHttp::test_target_is_checked_and_not_the_proxy",
    "tests/green/test_client_proxy.py::TestHttps::test_target_is_checked_inside",
)
PINGS = (
    "tests/green/test_robustness.py::TestHandlersThatDoNotReceive"
    "::test_flood_of_pings_by_a_peer_that_does_not_read_is_bounded"
)
#: Requests of other servers, read by them: what reaches us of these.
SERVERS = (
    "tests/green/test_pywsgi.py::TestErrors::test_bad_requests_are_refused",
    "tests/green/test_gunicorn.py",
)

ROWS: dict[str, tuple[str, ...]] = {
    # --- the libraries that this one descends from
    "CVE-2026-54463": OLD,
    "CVE-2026-54466": OLD,
    "CVE-2026-54464": (*FRAMES, *INBOUND, *TIME),
    "CVE-2026-54490": (*FRAMES, *INBOUND),
    "CVE-2026-54465": (*HEADS, *ANSWERS),
    "CVE-2026-61666": (*HEADS, *ANSWERS, *TIME),
    "CVE-2020-7662": (*HEADS, *ANSWERS, *TIME),
    "CVE-2020-7663": (*HEADS, *ANSWERS, *TIME),
    "CVE-2020-15133": TLS,
    "CVE-2020-15134": TLS,
    "seed: fields of an event stream": EVENT_STREAMS,
    "seed: split on Sec-WebSocket-Protocol": (*HEADS, *TIME),
    "seed: set_header with a line end": ("tests/hostile/test_own.py::TestHeaders",),
    "CVE-2026-1527": ("tests/hostile/test_own.py::TestHeaders",),
    "seed: callbacks of pings": ("tests/hostile/test_own.py::TestPings",),
    # --- their peers
    "CVE-2026-48779": (*FRAMES, *TIME),
    "CVE-2026-12151": FRAMES,
    "CVE-2026-9675": FRAMES,
    "CVE-2026-65623": (*FRAMES, *TIME),
    "CVE-2026-123817": (*TIME, "tests/hostile/test_memory.py::test_message_in_single_bytes_takes_twice_its_size"),
    "CVE-2026-54274": FRAMES,
    "CVE-2021-21419": FRAMES,
    "CVE-2018-1000518": FRAMES,
    "tornado-2391": FRAMES,
    "CVE-2026-1526": FRAMES,
    "CVE-2026-2229": (
        *ANSWERS,
        "tests/extensions/test_permessage_deflate.py::TestServer::test_wrong_window_bits_decline_the_offer",
    ),
    "CVE-2026-1528": FRAMES,
    "CVE-2020-27813": FRAMES,
    "CVE-2020-13935": FRAMES,
    "CVE-2026-59881": FRAMES,
    "CVE-2024-37890": (*HEADS, *ANSWERS),
    "CVE-2021-32640": (*HEADS, *ANSWERS, *TIME),
    "CVE-2023-43669": (*HEADS, *ANSWERS, *TIME, "tests/green/test_robustness.py::TestOpenTimeout"),
    "CVE-2026-69243": (*HEADS, *SERVERS),
    "CVE-2026-2833": (*HEADS, *SERVERS),
    "CVE-2024-1135": (*HEADS, *ANSWERS, *SERVERS),
    "CVE-2024-6827": (*HEADS, *ANSWERS, *SERVERS),
    "CVE-2023-41419": (*HEADS, *ANSWERS, *SERVERS),
    "CVE-2026-11586": (
        *TIME,
        PINGS,
        "tests/hostile/test_memory.py::test_flood_of_pings_by_a_server_that_does_not_read_is_bounded",
    ),
    "CVE-2025-10148": (*FRAMES, "tests/hostile/test_own.py::TestMasks"),
    "GHSA-w67g-5rqw-f597": (*FRAMES, "tests/hostile/test_own.py::TestMasks"),
    "CVE-2026-45736": ("tests/hostile/test_own.py::TestCloses",),
    "CVE-2019-13611": ORIGINS,
    "WS-2020-0443": ORIGINS,
    "PYSEC-2026-3483": ORIGINS,
    "CVE-2026-44211": ORIGINS,
    "PYSEC-2021-95": ("tests/hostile/test_own.py::TestSecrets",),
    "PYSEC-2026-3844": ("tests/green/test_client_proxy.py::TestSocks::test_wss_is_never_sent_without_tls",),
    "CVE-2026-33128": EVENT_STREAMS,
    "CVE-2026-44214": EVENT_STREAMS,
    "CVE-2026-44217": EVENT_STREAMS,
    "CVE-2026-43968": EVENT_STREAMS,
    # --- kin: what nobody has reported yet
    "kin: messages that inflate while they wait": (
        *INBOUND,
        "tests/hostile/test_inbound.py::test_messages_that_inflate_keep_their_order_and_contexts_among_others",
        "tests/hostile/test_inbound.py::test_fault_behind_messages_that_wait_packed_comes_behind_them",
        "tests/hostile/test_inbound.py::test_close_of_ours_gets_through_what_waits_packed",
    ),
    "kin: frames before the handshake": (
        "tests/hostile/test_inbound.py::test_flood_before_the_handshake_is_bounded_and_handled_in_turns",
        "tests/hostile/test_inbound.py::test_more_than_a_mebibyte_before_the_handshake_is_refused",
    ),
    "kin: what an error keeps": (FRAMES[0], OLD[0]),
    "kin: control frames": FRAMES,
    "kin: opcodes": FRAMES,
    "kin: text": FRAMES,
    "kin: hixie": OLD,
    "kin: old versions": (*HEADS, *TIME, "tests/hostile/test_memory.py::test_old_versions_have_the_same_limits"),
    "kin: first lines": HEADS,
    "kin: answers": (*ANSWERS, "tests/hostile/test_answers.py::test_other_clients_of_the_same_process_go_on_meanwhile"),
    "kin: redirects": ANSWERS,
    "kin: PROXY protocol": (
        *HEADS,
        *TIME,
        "tests/test_proxy_protocol.py::test_wrong_head_is_refused_however_it_is_cut",
        "tests/green/test_proxied.py::TestProxyProtocol",
    ),
    "kin: forwarded headers": (*TIME, "tests/green/test_proxied.py::TestHeaders"),
}

"""uv's words (as uv 0.5 and 0.13 wrote them) -> one sentence."""

import pytest

from inferry.environments.failures import explain
from inferry.errors import EnvironmentFailed, StorageFull

CASES = {
    "no such version": (
        """error: No solution found when resolving dependencies
  cause: Because there is no version of idna==99.1 and you require idna==99.1, we can conclude that your requirements are unsatisfiable.""",
        "There is no version that fits idna==99.1.",
    ),
    "no version so new": (
        """  × No solution found when resolving dependencies:
  ╰─▶ Because only idna<=3.20 is available and you require idna>=99, we can
      conclude that your requirements are unsatisfiable.""",
        "There is no version that fits idna>=99: only idna<=3.20 is available.",
    ),
    "no such package": (
        """  × No solution found when resolving dependencies:
  ╰─▶ Because no-such-package was not found in the package
      registry and you require no-such-package, we can conclude
      that your requirements are unsatisfiable.""",
        "There is no package named no-such-package where pip is set up to look.",
    ),
    "not in the folder": (
        """error: No solution found when resolving dependencies
  cause: Because attrs was not found in the provided package locations and you require attrs==20.1.2, we can conclude that your requirements are unsatisfiable.""",
        "There is no package named attrs where pip is set up to look.",
    ),
    "no wheel for this Python": (
        """error: No solution found when resolving dependencies
  cause: Because torch==1.0.0 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require torch==1.0.0, we can conclude that your requirements are unsatisfiable.

hint: You require CPython 3.11 (`cp311`), but we only found wheels for `torch` (v1.0.0) with the following Python ABI tags: `cp27m`""",
        "torch==1.0.0 has no ready-made wheel for Python 3.11 on this machine.",
    ),
    "no wheel at all": (
        """error: No solution found when resolving dependencies
  cause: Because all versions of sklearn have no usable wheels and you require sklearn, we can conclude that your requirements are unsatisfiable.

hint: Wheels are required for `sklearn` because building from source is disabled for all packages (i.e., with `--no-build`)""",
        "sklearn has no ready-made wheel for Python 3.11 on this machine.",
    ),
    "conflict of two lines": (
        """error: No solution found when resolving dependencies
  cause: Because you require numpy<1.20 and numpy>=1.26, we can conclude that your requirements are unsatisfiable.""",
        "These cannot be installed together: numpy<1.20, numpy>=1.26.",
    ),
    "conflict through a dependency": (
        """error: No solution found when resolving dependencies
  cause: Because pandas>=3.1.1 depends on numpy{python_full_version < '3.14'}>=2.0.2 and you require pandas==3.1.1, we can conclude that you require numpy>=2.0.2.
         And because you require numpy<1.26, we can conclude that your requirements are unsatisfiable.""",
        "These cannot be installed together: numpy<1.26, pandas==3.1.1 (pandas>=3.1.1 needs numpy>=2.0.2).",
    ),
    "needs a newer Python, as uv says it now": (
        """error: No solution found when resolving dependencies
  cause: Because needs-future==1.0 requires Python >=3.99 and only needs-future==1.0 is available, we can conclude that all versions of needs-future cannot be used.
         And because you require needs-future, we can conclude that your requirements are unsatisfiable.""",
        "needs-future==1.0 needs Python >=3.99 and this platform runs 3.11.",
    ),
    "conflict with all versions": (
        """  × No solution found when resolving dependencies:
  ╰─▶ Because only needs-old==1.0 is available and needs-old==1.0 depends on
      tiny<2, we can conclude that all versions of needs-old depend on tiny<2.
      And because you require needs-old and tiny==2.0, we can conclude that
      your requirements are unsatisfiable.""",
        "These cannot be installed together: needs-old, tiny==2.0 (needs-old==1.0 needs tiny<2; needs-old needs tiny<2).",
    ),
    "a requirement beside a reason": (
        """error: No solution found when resolving dependencies
  cause: Because you require tiny==2.0 and old==1.0 depends on tiny<2, we can conclude that old==1.0 cannot be used. And because you require old==1.0, we can conclude that your requirements are unsatisfiable.""",
        "These cannot be installed together: old==1.0, tiny==2.0 (old==1.0 needs tiny<2).",
    ),
    "needs a newer Python": (
        """error: No solution found when resolving dependencies
  cause: Because the current Python version (3.11.7) does not satisfy Python>=3.12 and tiny==1.0 depends on Python>=3.12, we can conclude that tiny==1.0 cannot be used.
         And because you require tiny==1.0, we can conclude that your requirements are unsatisfiable.""",
        "tiny==1.0 needs Python >=3.12 and this platform runs 3.11.",
    ),
    "connection refused": (
        """error: Request failed after 3 retries in 6.0s
  cause: Failed to fetch: https://127.0.0.1:9/simple/six/
  cause: error sending request for url (https://127.0.0.1:9/simple/six/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)""",
        "The package index cannot be used for six: no connection.",
    ),
    "no name": (
        """error: Failed to fetch: `https://index.test/simple/six/`
  Caused by: Request failed after 3 retries
  Caused by: error sending request for url (https://index.test/simple/six/)
  Caused by: client error (Connect)
  Caused by: dns error: failed to lookup address information: Name or service not known""",
        "The package index cannot be used for six: its name cannot be looked up.",
    ),
    "certificate": (
        """error: Failed to fetch: https://index.test/simple/six/
  cause: error sending request for url (https://index.test/simple/six/)
  cause: client error (Connect)
  cause: invalid peer certificate: UnknownIssuer""",
        "The package index cannot be used for six: its certificate is not trusted here.",
    ),
    "refused by the index": (
        """error: Failed to fetch: `https://index.test/simple/six/`
  Caused by: HTTP status client error (403 Forbidden) for url (https://index.test/simple/six/)""",
        "The package index cannot be used for six: it refused our access.",
    ),
    "switched off": (
        """error: No solution found when resolving dependencies
  cause: Because attrs was not found in the cache and you require attrs==20.1.0, we can conclude that your requirements are unsatisfiable.

hint: Packages were unavailable because the network was disabled.""",
        "attrs cannot be fetched: the network is switched off.",
    ),
    "hash": (
        """Resolved 1 package in 37ms
error: Failed to download `idna==2.10`
  cause: Hash mismatch for `idna==2.10`

         Expected:
           sha256:ffff""",
        "The file of idna==2.10 is not the one that was locked: its hash differs.",
    ),
    "anything else": (
        "error: Something odd at /home/me/secret about https://user:pw@index.test/x happened",
        "The packages could not be installed: Something odd at ... about ... happened.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_sentence(name):
    stderr, sentence = CASES[name]
    error = explain(stderr, "3.11")
    assert isinstance(error, EnvironmentFailed)
    assert error.message == sentence
    assert error.help
    assert "://" not in error.sentence()


def test_our_own_needs_are_said():
    error = explain(CASES["conflict of two lines"][0], "3.11")
    assert error.help == "Every environment holds numpy>=1.26."


@pytest.mark.parametrize(
    "stderr",
    [
        "error: Failed to install: x.whl\n  cause: failed to copy file from /a to /b: No space left on device (os error 28)",
        "error: failed to write to file `cache/CACHEDIR.TAG`\n  Caused by: Disk quota exceeded (os error 122)",
    ],
)
def test_a_full_disk_is_its_own_error(stderr):
    assert isinstance(explain(stderr, "3.11"), StorageFull)

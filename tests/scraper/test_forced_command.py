"""clockwork-forced-command runs Clockwork's few commands to the letter, and refuses the rest."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest.programs import sacct_usage
from ingest.programs.sacct import ENDED_STATES, FIELDS
from scraper.commands.slurm_commands import (
    accounted_command,
    ended_command,
    first_release_show_command,
    show_command,
    show_job_command,
    time_format_line,
    usage_command,
)

SCRIPT = Path(__file__).parents[2] / "scraper" / "clockwork-forced-command"
SHOW_JOB = show_command("scontrol", "job")
ONE_JOB = show_job_command("scontrol", "71")
STDIN = time_format_line("q7Rk2Xa")
FIRST_RELEASE = first_release_show_command("scontrol", "job", "q7Rk2Xa")
SQUEUE = "squeue -h -a -t all -o %A:%U"
SACCT = accounted_command("sacct", ["1", "22", "333"])
USAGE = usage_command("sacct", ["1", "22", "333"])
ENDED = ended_command("sacct", 1795982400, 1796004000)
PATH_ = r"(/(usr|opt|cm)/[A-Za-z0-9._/-]*/)?"
ALLOWED = re.compile(
    r"sh -c 'read -r SLURM_TIME_FORMAT && export SLURM_TIME_FORMAT && exec "
    rf"{PATH_}scontrol -a show (job|node|config|partition|reservation|job [0-9]{{1,10}})'"
    rf"|env SLURM_TIME_FORMAT=%FT%T%z[A-Za-z0-9]{{0,12}} {PATH_}scontrol -a show (job|node)"
    rf"|{PATH_}sdiag"
    rf"|{PATH_}squeue -h -a -t all -o %A:%U"
    r"|sh -c 'read -r SLURM_TIME_FORMAT && export SLURM_TIME_FORMAT && exec "
    rf"{PATH_}sacct -n -P -X -D -a --local -o {re.escape(FIELDS)} "
    rf"(-j [0-9,]+|-S uts[0-9]{{7,12}} -E uts[0-9]{{7,12}} -s {ENDED_STATES})'"
    r"|sh -c 'read -r SLURM_TIME_FORMAT && export SLURM_TIME_FORMAT && exec "
    rf"{PATH_}sacct -n -P -a --local -o {re.escape(sacct_usage.FIELDS)} -j [0-9,]+'"
)
"""What the script's header says, in another language; paths with `.` parts aside."""

SHELLS = [
    words
    for words in (["dash"], ["bash", "--posix"], ["busybox", "sh"], ["mksh"])
    if shutil.which(words[0])
] or [["sh"]]

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module", params=SHELLS, ids=lambda words: str(words[0]))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the script as sshd would, with programs that show what they were given."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("scontrol", "squeue", "sacct", "sdiag"):
        program = folder / name
        program.write_text(
            "#!/bin/sh\n"
            'printf "%s\\n" "${0##*/}" "$@" "format=${SLURM_TIME_FORMAT-unset}" '
            '"conf=${SLURM_CONF-unset}"\n'
            "cat\n"
        )
        program.chmod(0o755)
    (folder / "id").write_text("#!/bin/sh\ntouch injected\n")
    (folder / "id").chmod(0o755)

    def run(
        command: str | bytes | None, stdin: bytes = STDIN, **env: str
    ) -> "subprocess.CompletedProcess[bytes]":
        asked = {} if command is None else {"SSH_ORIGINAL_COMMAND": command}
        done = subprocess.run(
            [*request.param, str(SCRIPT)],
            env={"PATH": f"{folder}:/usr/bin:/bin", **env, **asked},
            cwd=folder,
            input=stdin,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert not (folder / "injected").exists()
        return done

    return run


def refused(done: "subprocess.CompletedProcess[bytes]") -> bool:
    if b"refused" not in done.stderr:
        return False
    # bash may complain first of a locale that it does not have.
    assert re.search(rb"^clockwork-forced-command: refused: [ -~]+\n\Z", done.stderr, re.M)
    assert (done.returncode, done.stdout) == (126, b"")
    return True


SEALS = ["", "q7Rk2Xa", "A", "0", "abcdefghijkl", "ABCXYZabz019"]


@pytest.mark.parametrize(
    "what",
    ["job", "node", "config", "partition", "reservation", "job 71", "job 0", "job 4294967295"],
)
@pytest.mark.parametrize("seal", SEALS)
def test_scontrol_gets_its_words_and_the_time_format(run: Run, what: str, seal: str) -> None:
    """And nothing of standard input but its first line."""
    done = run(SHOW_JOB.replace("show job", f"show {what}"), time_format_line(seal) + b"more\n")
    assert done.stdout.decode().splitlines() == [
        *("scontrol", "-a", "show", *what.split()),
        f"format=%FT%T%z{seal}",
        "conf=unset",
    ]
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"%FT%T%zq7Rk2Xa",
        b"%FT%T\n",
        b"%FT%T%s\n",
        b"%FT%T%zabcdefghijklm\n",
        b"%FT%T%z" + b"a" * 100_000 + b"\n",
        b" %FT%T%zq7Rk2Xa\n",
        b"%FT%T%zq7Rk2Xa \n",
        b"%FT%T%zq7Rk2Xa\r\n",
        b"%FT%T%zq7\tRk\n",
        b"%FT%T%z%n\n",
        b"%FT%T%zq7-Rk\n",
        b"%FT%T%z$(id)\n",
        b"%FT%T%z`id`\n",
        b"%FT%T%z;id\n",
        b"%FT%T%z\\\nq7Rk2Xa\n",
        b"%FT%T%z\xc3\xa9\n",
        b"%FT%T%z\xff\n",
        b"\n%FT%T%zq7Rk2Xa\n",
        b"x%FT%T%zq7Rk2Xa\n",
        b"\x1b[2J\n",
    ],
)
@pytest.mark.parametrize("command", [SHOW_JOB, ONE_JOB, SACCT, ENDED, USAGE])
def test_any_other_line_on_standard_input_is_refused(run: Run, command: str, line: bytes) -> None:
    assert refused(run(command, line))


@pytest.mark.parametrize(
    "job_id",
    [
        "",
        " ",
        " 71",
        "71 ",
        "71 72",
        "71,72",
        "71_0",
        "71+1",
        "-71",
        "-a",
        "--help",
        "71 -d",
        "0x47",
        "7\n1",
        "\n",
        "71\n",
        "12345678901",
        "1" * 5000,
        "71;id",
        "71&id",
        "71|id",
        "$(id)",
        "`id`",
        "$IFS",
        "71>injected",
        "71'; id; '",
        "71' '72",
        '"71"',
        "7*",
        "?",
        "[7]",
        "\\71",
        "\u0667\u0661",
        "\uff17",
        "é",
        "71 -a show job",
        "71 -a show job 72",
        "job",
        "71'",
        "'71",
    ],
)
def test_any_other_job_id_is_refused(run: Run, job_id: str) -> None:
    assert refused(run(ONE_JOB.replace("71", job_id)))


@pytest.mark.parametrize("what", ["job", "node"])
@pytest.mark.parametrize("seal", SEALS)
def test_the_commands_of_the_first_release_still_run(run: Run, what: str, seal: str) -> None:
    done = run(first_release_show_command("scontrol", what, seal), b"")
    assert done.stdout.decode().splitlines() == [
        *("scontrol", "-a", "show", what),
        f"format=%FT%T%z{seal}",
        "conf=unset",
    ]
    assert (done.returncode, done.stderr) == (0, b"")


def test_sdiag_runs_without_words_and_by_no_other_path(run: Run) -> None:
    done = run("sdiag", b"")
    assert done.stdout.decode().splitlines() == ["sdiag", "format=unset", "conf=unset"]
    assert (done.returncode, done.stderr) == (0, b"")
    for command in (
        *("sdiag -r", "sdiag --reset", " sdiag", "sdiag ", "sdiag\n", "/tmp/sdiag", "x/sdiag"),
        *(
            "sdiag;id",
            "id;/usr/bin/sdiag",
            "/usr/../tmp/sdiag",
            "id\n/usr/bin/sdiag",
            "sh -c sdiag",
        ),
    ):
        assert refused(run(command, b"")), command


def test_squeue_gets_its_words(run: Run) -> None:
    done = run(SQUEUE, b"")
    assert done.stdout.decode().splitlines() == [
        *("squeue", "-h", "-a", "-t", "all", "-o", "%A:%U"),
        "format=unset",
        "conf=unset",
    ]
    assert (done.returncode, done.stderr) == (0, b"")


SACCT_WORDS = ["sacct", "-n", "-P", "-X", "-D", "-a", "--local", "-o", FIELDS]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (SACCT, ["-j", "1,22,333"]),
        (ENDED, ["-S", "uts1795982400", "-E", "uts1796004000", "-s", ENDED_STATES]),
    ],
)
@pytest.mark.parametrize("seal", SEALS)
def test_sacct_gets_its_words_and_the_time_format(
    run: Run, command: str, words: list[str], seal: str
) -> None:
    done = run(command, time_format_line(seal) + b"more\n")
    assert done.stdout.decode().splitlines() == [
        *(*SACCT_WORDS, *words),
        f"format=%FT%T%z{seal}",
        "conf=unset",
    ]
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("seal", SEALS)
def test_sacct_gets_the_words_for_usage(run: Run, seal: str) -> None:
    done = run(USAGE, time_format_line(seal) + b"more\n")
    words = ["sacct", "-n", "-P", "-a", "--local", "-o", sacct_usage.FIELDS, "-j", "1,22,333"]
    assert done.stdout.decode().splitlines() == [*words, f"format=%FT%T%z{seal}", "conf=unset"]
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "ids", ["", "1;id", "1 -a", "1,x", "$(id)", "`id`", "1\n2", "-a", "1 ", "1' '2", "1'; id; '"]
)
def test_sacct_gets_nothing_but_job_ids(run: Run, ids: str) -> None:
    assert refused(run(SACCT.replace("1,22,333", ids)))
    assert refused(run(USAGE.replace("1,22,333", ids)))


@pytest.mark.parametrize(
    "moment",
    [
        *("", "1", "123456", "1234567890123", "now", "2026-11-24", "17959824e2", "-1795982400"),
        *("1795982400 -u bob", "1795982400;id", "$(id)", "`id`", "1795982400\n", "1795982400'"),
        *("1795982400 -E uts1795982400", "1795982400 -s PD", "\uff11795982400", "*", "???????"),
    ],
)
@pytest.mark.parametrize("which", ["1795982400", "1796004000"])
def test_sacct_gets_nothing_but_seconds(run: Run, which: str, moment: str) -> None:
    assert refused(run(ENDED.replace(which, moment)))


@pytest.mark.parametrize("command", [SACCT, ENDED])
@pytest.mark.parametrize(
    ("words", "others"),
    [
        ("State", "Comment"),
        ("%40", "%10"),
        ("Submit%40,Account", "Account"),
        (" -X", ""),
        (" -a", " -a -u bob"),
        (" -n", " --delimiter=x -n"),
        (" --local", ""),
        (" --local", " -M other"),
        (" -D", " -D -f /tmp/x"),
        ("sacct", "sacctmgr"),
        ("sacct", "scontrol"),
        ("sacct ", "sacct -a show job "),
        ("exec ", ""),
    ],
)
def test_sacct_gets_no_other_options(run: Run, command: str, words: str, others: str) -> None:
    assert refused(run(command.replace(words, others)))


@pytest.mark.parametrize("states", ["", "PD", "BF,CA", f"{ENDED_STATES},PD", f"{ENDED_STATES} -x"])
def test_sacct_is_asked_for_ended_jobs(run: Run, states: str) -> None:
    assert refused(run(ENDED.replace(ENDED_STATES, states)))


def test_the_sites_own_environment_reaches_scontrol(run: Run) -> None:
    done = run(SHOW_JOB, SLURM_CONF="/opt/slurm/etc/slurm.conf")
    assert b"conf=/opt/slurm/etc/slurm.conf" in done.stdout


@pytest.mark.parametrize("locale", ["C.UTF-8", "en_US.UTF-8", "tr_TR.UTF-8", "no such"])
def test_the_clients_locale_changes_nothing(run: Run, locale: str) -> None:
    assert run(SHOW_JOB, LC_ALL=locale, LANG=locale).returncode == 0
    for letter in ("é", "\u0131", "\u0130", "\uff51", "\u0663"):
        line = f"%FT%T%zq{letter}\n".encode()
        assert refused(run(SHOW_JOB, line, LC_ALL=locale))
        assert refused(run(FIRST_RELEASE.replace("q7Rk2Xa", f"q{letter}"), LC_ALL=locale))


@pytest.mark.parametrize(
    "path",
    ["/usr/no-such/", "/usr/local/no-such/bin/", "/opt/slurm-22.05.8/no_such/", "/cm/a/no-such/"],
)
def test_a_full_path_below_the_systems_folders_is_run(run: Run, path: str) -> None:
    for command, name in (
        (SHOW_JOB, "scontrol"),
        (ONE_JOB, "scontrol"),
        (FIRST_RELEASE, "scontrol"),
        (SQUEUE, "squeue"),
        (SACCT, "sacct"),
        (ENDED, "sacct"),
    ):
        done = run(command.replace(name, f"{path}{name}"))
        assert not refused(done)
        # Nothing is there: the shell says that it did try just that file.
        assert done.returncode == 127
        assert f"{path}{name}".encode() in done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "/tmp/scontrol",
        "/home/alice/bin/scontrol",
        "/scontrol",
        "/usr/../tmp/scontrol",
        "/usr/bin/../../tmp/scontrol",
        "/usr/./bin/scontrol",
        "/opt/../scontrol",
        "/usr/bin/scontrol ",
        "/usr/b in/scontrol",
        "/usr/bin/scontrol/",
        "/usr/bin/scontrol.sh",
        "/usr/bin/xscontrol",
        "/usr/*/scontrol",
        "/usr/$HOME/scontrol",
        "/usr/`id`/scontrol",
        "/usrlocal/scontrol",
        "/etc/usr/bin/scontrol",
        "./scontrol",
        "bin/scontrol",
        "../scontrol",
        "~/scontrol",
        "$HOME/scontrol",
        "scontro?",
        "*",
        "",
        "-a",
        "SCONTROL",
        "sacct",
        "scontrol -d",
        "command scontrol",
        "env scontrol",
        "LD_PRELOAD=/tmp/x.so scontrol",
        "SLURM_CONF=/tmp/x scontrol",
        "-S scontrol",
        "'scontrol'",
        '"scontrol"',
        "scontrol;id;scontrol",
        "scontrol\nscontrol",
        "/usr/bin\n/scontrol",
    ],
)
def test_any_other_program_is_refused(run: Run, program: str) -> None:
    for command in (SHOW_JOB, ONE_JOB, FIRST_RELEASE):
        assert refused(run(command.replace("scontrol", program)))
    assert refused(run(SQUEUE.replace("squeue", program.replace("scontrol", "squeue"))))
    if program != "sacct":
        other = program.replace("scontrol", "sacct")
        assert refused(run(SACCT.replace("sacct", other)))
        assert refused(run(ENDED.replace("sacct", other)))


def test_the_two_programs_do_not_change_places(run: Run) -> None:
    assert refused(run(SHOW_JOB.replace("scontrol", "squeue")))
    assert refused(run(FIRST_RELEASE.replace("scontrol", "squeue")))
    assert refused(run(SQUEUE.replace("squeue", "scontrol")))


@pytest.mark.parametrize(
    "seal",
    [
        "abcdefghijklm",
        "a" * 5000,
        "%n",
        "%%",
        "a-b",
        "a_b",
        "a=b",
        "a b",
        "a\tb",
        "a\n",
        "\n",
        "\r",
        "a;id",
        "$(id)",
        "`id`",
        "$IFS",
        "${IFS}",
        "a|id",
        "a&id",
        "a>injected",
        "'",
        '"',
        "\\",
        "*",
        "?",
        "[a]",
        "é",
        "\uff21",
        "x SLURM_CONF=/tmp/x",
        "x -S id",
    ],
)
def test_any_other_seal_is_refused(run: Run, seal: str) -> None:
    assert refused(run(FIRST_RELEASE.replace("q7Rk2Xa", seal)))


@pytest.mark.parametrize("command", [SHOW_JOB, ONE_JOB, FIRST_RELEASE, SQUEUE, SACCT, ENDED])
@pytest.mark.parametrize(
    "added",
    [
        " ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\x0b",
        "\x1b[2J",
        "\u00a0",
        "\u2028",
        ";id",
        "; id",
        "\nid",
        "&id",
        "&& id",
        "|id",
        "|| id",
        "$(id)",
        "`id`",
        " $(id)",
        ">injected",
        " > injected",
        " 1",
        " --help",
        " -d",
        "s",
        "#",
        " # x",
        "\\",
        "'",
        '"',
        "*",
        f"\n{SHOW_JOB}",
        "\nenv SLURM_TIME_FORMAT=%FT%T%z scontrol -a show job",
        "\nsqueue -h -a -t all -o %A:%U",
    ],
)
def test_nothing_may_stand_before_or_after(run: Run, command: str, added: str) -> None:
    assert refused(run(command + added))
    assert refused(run(added + command))
    assert refused(run(f"id{added}{command}"))
    assert refused(run(f"{command}{added}id"))


@pytest.mark.parametrize(
    "command",
    [
        None,
        "",
        " ",
        "\n",
        "id",
        "sh",
        "bash -i",
        "scontrol",
        "scontrol -a show job",
        "scontrol shutdown",
        "scontrol -a show config",
        "SLURM_TIME_FORMAT=%FT%T%zq7Rk2Xa scontrol -a show job",
        "env scontrol -a show job",
        SHOW_JOB.removesuffix("'"),
        SHOW_JOB.replace("sh -c", "bash -c"),
        SHOW_JOB.replace("sh -c", "sh -xc"),
        SHOW_JOB.replace("sh -c", "sh  -c"),
        SHOW_JOB.replace("'", '"'),
        SHOW_JOB.replace("'", ""),
        SHOW_JOB.replace("read -r", "read"),
        SHOW_JOB.replace("SLURM_TIME_FORMAT", "SLURM_CONF"),
        SHOW_JOB.replace("SLURM_TIME_FORMAT", "PATH"),
        SHOW_JOB.replace("&&", ";"),
        SHOW_JOB.replace("exec ", ""),
        SHOW_JOB.replace("-a show", "-a -d show"),
        SHOW_JOB.replace("-a show", "-d -a show"),
        SHOW_JOB.replace("-a show", "show"),
        SHOW_JOB.replace("show job", "show jobs"),
        SHOW_JOB.replace("show job", "show JOB"),
        SHOW_JOB.replace("show job", "show hostnames"),
        SHOW_JOB.replace("show job", "show node cn-a001"),
        SHOW_JOB.replace("show job", "show config x"),
        SHOW_JOB.replace("show job", "show partition main"),
        SHOW_JOB.replace("show job", "show partitions"),
        SHOW_JOB.replace("show job", "show reservation x"),
        SHOW_JOB.replace("show job", "show reservation "),
        SHOW_JOB.replace("show job", "show "),
        SHOW_JOB.replace("show job", "show"),
        SHOW_JOB.replace("show job", "update job -a show job"),
        SHOW_JOB.replace("show job", "show job -a show node"),
        f"{SHOW_JOB} -a show job'",
        f"{SHOW_JOB} x",
        "sh -c 'read -r SLURM_TIME_FORMAT && export SLURM_TIME_FORMAT && exec '",
        "sh -c 'read -r SLURM_TIME_FORMAT && export SLURM_TIME_FORMAT'",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show job 1",
        "env SLURM_TIME_FORMAT=%s scontrol -a show job",
        "env SLURM_TIME_FORMAT= scontrol -a show job",
        "env -i SLURM_TIME_FORMAT=%FT%T%z scontrol -a show job",
        "env  SLURM_TIME_FORMAT=%FT%T%z scontrol -a show job",
        "env SLURM_TIME_FORMAT=%FT%T%z  scontrol -a show job",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol  -a show job",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a  show job",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show  job",
        "env\tSLURM_TIME_FORMAT=%FT%T%z\tscontrol\t-a\tshow\tjob",
        "env SLURM_TIME_FORMAT=%FT%T%z -a show job",
        "env SLURM_TIME_FORMAT=%FT%T%z",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol show job",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show jobs",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show config",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show hostnames",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show job node",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a -d show job",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a update job -a show job",
        "env SLURM_TIME_FORMAT=%FT%T%z scontrol -a show JOB",
        "squeue",
        "squeue -h -a -t all",
        "squeue -h -a -t all -o %A:%U -u bob",
        "squeue -h -a -t all -o '%A:%U'",
        'squeue -h -a -t all -o "%A %U"',
        "squeue -h -a -t all -o %A %U",
        "squeue -h -a -t all -o %A:%j",
        "env squeue -h -a -t all -o %A:%U",
        " -h -a -t all -o %A:%U",
        "-h -a -t all -o %A:%U",
        "scp -t /tmp",
        "/usr/lib/openssh/sftp-server",
        "internal-sftp",
    ],
)
def test_any_other_command_is_refused(run: Run, command: str | None) -> None:
    assert refused(run(command))


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"\x80", b"\x81", b"\x88", b"\xc3"])
def test_bytes_that_are_no_text_are_refused(run: Run, junk: bytes) -> None:
    for place in (b"q7Rk2Xa", b"scontrol", b" show", b"job"):
        assert refused(run(FIRST_RELEASE.encode().replace(place, place + junk)))
    for place in (b"read", b"FORMAT", b"scontrol", b" show", b"job", b"71", b"'"):
        assert refused(run(ONE_JOB.encode().replace(place, place + junk)))
    assert refused(run(junk))


def test_a_command_as_long_as_an_environment_holds_is_refused(run: Run) -> None:
    assert refused(run("a" * 120_000))
    assert refused(run(f"/usr/{'../' * 30_000}tmp/{SQUEUE}"))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@example(command=SHOW_JOB, cut=slice(0, 0), put="", env="X")
@given(
    command=st.sampled_from(
        [
            SHOW_JOB,
            ONE_JOB,
            FIRST_RELEASE,
            SQUEUE,
            SACCT,
            ENDED,
            ONE_JOB.replace("scontrol", "/usr/x/scontrol"),
        ]
    ),
    cut=st.slices(330).filter(lambda cut: cut.step in (None, 1)),
    put=st.text(
        st.sampled_from(" \t\n\r;&|$`(){}<>'\"\\*?[]~#%=/.-_:aZ09é") | st.characters(codec="utf-8"),
        max_size=8,
    ).filter(lambda text: "\0" not in text),
    env=st.sampled_from(["IFS", "ENV", "BASH_ENV", "X"]),
)
def test_whatever_is_changed_only_the_documented_shapes_run(
    run: Run, command: str, cut: slice, put: str, env: str
) -> None:
    letters = list(command)
    letters[cut] = put
    asked = "".join(letters)
    done = run(asked, **{env: "/"})
    allowed = ALLOWED.fullmatch(asked) and not re.search(r"/\.\.?/", asked)
    assert refused(done) == (not allowed)


def test_the_header_names_the_exact_commands() -> None:
    header = SCRIPT.read_text().split("set -u")[0]
    read, _, _ = SHOW_JOB.removeprefix("sh -c '").partition(" scontrol")
    assert f"#     {read}\n" in header
    for what in ("job", "job ID", "node", "config"):
        assert f"#     sh -c 'READ SCONTROL -a show {what}'\n" in header
    for which in ("-j IDS", "-S utsTIME -E utsTIME -s STATES"):
        assert f"#     sh -c 'READ SACCT -n -P -X -D -a --local -o FIELDS {which}'\n" in header
    assert "#     env SLURM_TIME_FORMAT=%FT%T%zSEAL SCONTROL -a show job\n" in header
    assert "#     env SLURM_TIME_FORMAT=%FT%T%zSEAL SCONTROL -a show node\n" in header
    assert "#     SQUEUE -h -a -t all -o %A:%U\n" in header
    assert 'restrict,command="' in header
    assert "SLURM_CONF" in header
    assert SCRIPT.stat().st_mode & 0o111 == 0o111

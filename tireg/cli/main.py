"""The ``tireg`` command: finds commands when they are used, and turns errors into sentences."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

import tireg
from tireg.cli.console import out
from tireg.cli.defaults import defaults_for
from tireg.cli.launched import one_voice
from tireg.domain.launching import check_alone
from tireg.errors import ConfigError, MissingPackageError, TiregError

INTERRUPTED = 130  # what shells give for a program ended by Ctrl-C

# Where the name to install differs from the name to import.
PACKAGES = {"PIL": "pillow", "open_clip": "open_clip_torch", "yaml": "pyyaml"}


@dataclass(frozen=True)
class Lazy:
    """A command that is imported when it is used: its section in the help, place and help line."""

    section: str
    target: str
    help: str


COMMANDS: dict[str, Lazy] = {
    "demo": Lazy("Make", "tireg.cli.demo:demo", "Train and score one word on the built-in base."),
    "train": Lazy("Make", "tireg.cli.train:train", "Learn a word from pictures."),
    "sweep": Lazy("Make", "tireg.cli.sweep:sweep", "Find the recipe that serves words best."),
    "plan": Lazy("Make", "tireg.cli.plan:plan", "Say what it will cost before it starts."),
    "generate": Lazy("Make", "tireg.cli.generate:generate", "Make pictures with learned words."),
    "eval": Lazy("Judge", "tireg.cli.evaluate:evaluate", "Score a word against its baselines."),
    "check": Lazy("Judge", "tireg.cli.check:check", "Judge a word in seconds, without pictures."),
    "compare": Lazy("Judge", "tireg.cli.compare:compare", "Say which of two words is better."),
    "leaderboard": Lazy("Judge", "tireg.cli.compare:leaderboard", "Rank the scored words."),
    "scores": Lazy("Judge", "tireg.cli.compare:scores", "Write scores as files for other tools."),
    "suites": Lazy("Judge", "tireg.cli.suites:suites", "List, show and check evaluation suites."),
    "compat": Lazy("Judge", "tireg.cli.compat:compat", "Say which bases a word runs on."),
    "list": Lazy("Look", "tireg.cli.listing:list_", "List the words in the registry."),
    "show": Lazy("Look", "tireg.cli.show:show", "Show all there is to know about one word."),
    "bases": Lazy("Look", "tireg.cli.bases:bases", "List the base models and families."),
    "search": Lazy("Look", "tireg.cli.search:search", "Find words here and on the Hub."),
    "report": Lazy("Look", "tireg.cli.report:report", "Write a page about a word, or several."),
    "gallery": Lazy("Look", "tireg.cli.gallery:gallery", "Write the words as pages to look at."),
    "inspect": Lazy("Files", "tireg.cli.files:inspect", "Say what is in an embedding file."),
    "import": Lazy("Files", "tireg.cli.importing:import_", "Take embedding files in."),
    "export": Lazy("Files", "tireg.cli.files:export", "Write a word as a file for other tools."),
    "publish": Lazy("Share", "tireg.cli.publish:publish", "Publish a word to the Hub."),
    "pull": Lazy("Share", "tireg.cli.pull:pull", "Fetch words from the Hub."),
    "sync": Lazy("Share", "tireg.cli.sync:sync", "Keep the registry and the Hub in step."),
    "remote": Lazy("Share", "tireg.cli.remote:remote", "Name places on the Hub for sync."),
    "rm": Lazy("Care", "tireg.cli.care:rm", "Take a word out of the registry."),
    "restore": Lazy("Care", "tireg.cli.care:restore", "Bring back what rm took out."),
    "tag": Lazy("Care", "tireg.cli.care:tag", "Give a word tags, or take them away."),
    "alias": Lazy("Care", "tireg.cli.care:alias", "Let a name such as best mean one version."),
    "note": Lazy("Care", "tireg.cli.care:note", "Write down something about a word."),
    "rename": Lazy("Care", "tireg.cli.care:rename", "Give a word another name."),
    "history": Lazy("Care", "tireg.cli.care:history", "Say who changed what, and when."),
    "diff": Lazy("Care", "tireg.cli.care:diff", "Show where two versions differ."),
    "stats": Lazy("Care", "tireg.cli.care:stats", "Count what is in the registry."),
    "lookup": Lazy("Care", "tireg.cli.care:lookup", "Find the word a hash belongs to."),
    "dedupe": Lazy("Care", "tireg.cli.care:dedupe", "Throw away what is here twice."),
    "gc": Lazy("Care", "tireg.cli.care:gc", "Empty the trash for good."),
    "verify": Lazy("Care", "tireg.cli.care:verify", "Check every file against its hash."),
    "doctor": Lazy("Care", "tireg.cli.care:doctor", "Explain what is wrong and repair it."),
    "env": Lazy("Care", "tireg.cli.env:env", "Say what is installed and what is missing."),
    "completion": Lazy("Care", "tireg.cli.env:completion", "Let the shell complete commands."),
}


class LazyGroup(click.Group):
    """A group whose commands come from :data:`COMMANDS`, so that help imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Command names, in the order of the help."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None when there is no such name."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        return load_command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for a name that is nearly right, and the user's own
        defaults for the command."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.NoSuchCommand(name, possibilities=COMMANDS, ctx=ctx)
        found, command, rest = super().resolve_command(ctx, args)
        if found != "train":
            check_alone(f"'tireg {found}'")
        if found and command and not set(ctx.help_option_names) & set(rest):
            ctx.default_map = {found: defaults_for(found, command.params, list(COMMANDS))}
        return found, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, from the table alone."""
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(n, entry.help) for n, entry in COMMANDS.items() if entry.section == section]
                )

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run, report any error as one sentence, and exit with its code."""
        extra["standalone_mode"] = False
        extra["prog_name"] = "tireg"
        out.quiet = False
        try:
            with one_voice():
                code = super().main(args, **extra)
                sys.stdout.flush()
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001  the outermost place: nothing is above
            code = report(error)
        sys.exit(code if isinstance(code, int) else 0)


def load_command(name: str) -> click.Command:
    """Import the command called ``name`` in :data:`COMMANDS`.

    Raises TiregError when the table names a module or attribute that does not exist.
    """
    module, _, attribute = COMMANDS[name].target.partition(":")
    try:
        command = getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        if getattr(error, "name", None) not in (module, attribute):
            raise
        raise TiregError(
            f"the command '{name}' is listed, but {COMMANDS[name].target} does not exist"
        ) from error
    if not isinstance(command, click.Command):
        raise TiregError(f"{COMMANDS[name].target} is not a command")
    for param in command.params:
        if isinstance(param, click.Argument) and param.name in ("ref", "refs"):
            param.type = Word()
    return with_verbosity(command)


class Word(click.ParamType[str]):
    """A word of the registry, by name; the shell completes it."""

    name = "text"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names that begin with what was typed; none where there is no registry."""
        from tireg.store.home import registry_home
        from tireg.workflows.views import list_embeddings

        try:
            rows = list_embeddings(registry_home(), everything=True)["rows"]
        except TiregError:
            return []
        return [
            CompletionItem(row["name"], help=row["token"])
            for row in rows
            if row["name"].startswith(incomplete)
        ]


def with_verbosity(command: click.Command) -> click.Command:
    """Let a command take ``-q`` and ``-v`` behind its name too, where people type them."""
    taken = {option for param in command.params for option in param.opts}
    for option in verbosity_options():
        if not taken & set(option.opts):
            command.params.append(option)
    return command


def verbosity_options() -> list[click.Option]:
    """``-q`` and ``-v``, which act at once and are not handed to the command."""
    return [
        click.Option(
            ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_be_quiet,
            help="Print results and errors only.",
        ),
        click.Option(
            ["-v", "--verbose"], is_flag=True, expose_value=False, callback=_be_verbose,
            help="Print what libraries say, too.",
        ),
    ]  # fmt: skip


def _be_quiet(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        out.quiet = True


def _be_verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        logging.getLogger("tireg").setLevel(logging.INFO)
        warnings.simplefilter("default")
        os.environ.pop("TQDM_DISABLE", None)
        for library in ("TRANSFORMERS", "DIFFUSERS", "HF_HUB"):
            os.environ[f"{library}_VERBOSITY"] = "info"


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=verbosity_options(),
    epilog="Start with: tireg demo",
)
@click.version_option(tireg.__version__, prog_name="tireg", message="%(prog)s %(version)s")
def cli() -> None:
    """Train, measure, keep and share textual-inversion embeddings: words for what is in a few
    pictures."""


def report(error: BaseException) -> int:
    """Print an error as a sentence on stderr and return its exit code.

    With ``TIREG_DEBUG=1`` the traceback is printed before it.
    """
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        out.error("interrupted; nothing half done was recorded")
        return INTERRUPTED
    if os.environ.get("TIREG_DEBUG") == "1":
        out.flush()
        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        out.error(_sentence(error))
        if isinstance(error, click.UsageError) and error.ctx:
            out.hint(f"{error.ctx.command_path} --help")
        return error.exit_code
    known = explain(error)
    out.error(known.message)
    if known.hint:
        out.hint(known.hint)
    return known.exit_code


def _sentence(error: click.ClickException) -> str:
    """What click says, in the form of our own messages."""
    near = getattr(error, "possibilities", None)
    text = (error.message if near else error.format_message()).removesuffix(".")
    return text[:1].lower() + text[1:] + (f"; did you mean '{near[0]}'?" if near else "")


def explain(error: BaseException) -> TiregError:
    """The TiregError that says the same as ``error`` to a person."""
    if isinstance(error, TiregError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        if module != "tireg":
            package = PACKAGES.get(module, module)
            return MissingPackageError(
                f"the package '{package}' is needed for this and is not installed",
                hint=f"pip install {package}",
            )
    if isinstance(error, OSError):
        return _explain_os_error(error)
    if isinstance(error, MemoryError):
        return TiregError(
            "there is not enough memory for this", hint="try a smaller --batch, --size or base"
        )
    text = str(error).strip().partition("\n")[0]
    return TiregError(
        f"something went wrong inside tireg: {type(error).__name__}{': ' if text else ''}{text}",
        hint="set TIREG_DEBUG=1 for the traceback",
    )


def _explain_os_error(error: OSError) -> TiregError:
    where = f" {shlex.quote(os.fsdecode(error.filename))}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return TiregError(f"the disk is full{where and ':'}{where}", hint="df -h")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ConfigError(f"no permission for{where or ' a file'}", hint=f"ls -ld{where}")
    if error.errno == errno.ENOENT:
        return ConfigError(f"there is no file{where}", hint="check the path")
    return TiregError(
        f"{error.strerror or error}{where and ':'}{where}",
        hint="set TIREG_DEBUG=1 for the traceback",
    )


def quiet_libraries() -> None:
    """Silence what libraries print while they work; ``-v`` brings it back.

    Their own switches are environment variables, read when they are imported, which has not
    happened yet. What the user has set is left alone.
    """
    for library in ("TRANSFORMERS", "DIFFUSERS", "HF_HUB"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")
    for switch in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_TELEMETRY", "TQDM_DISABLE"):
        os.environ.setdefault(switch, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger("tireg").addHandler(out.log_handler())


def main() -> NoReturn:
    """Entry point of the ``tireg`` script."""
    quiet_libraries()
    cli.main()

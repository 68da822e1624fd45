"""What was to be seen in a step, as HTML: every value escaped, tokens in short with the whole ones behind a fold."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from gateway.demo import prose
from gateway.demo.glossary import CLAIMS, PARAMETERS
from gateway.demo.seen import Decoded, Exchange, Link, Returned, Seen, Shortened, Unanswered
from gateway.demo.story import Role, Way
from gateway.demo.wire import Message
from gateway.devauth.markup import Html, Templates
from gateway.explanation import Explanation

TEMPLATES: Final = Templates("gateway.demo")
fill: Final = TEMPLATES.fill

NOTHING: Final = Html("")
_TO_USER: Final = (Role.CLIENT, Role.USER)
_BACK: Final = (Role.USER, Role.CLIENT)


def joined(pieces: Iterable[Html]) -> Html:
    """One below the other."""
    return Html("\n".join(pieces))


def paragraphs(text: str, values: Mapping[str, str] | None = None) -> Html:
    """A text of a story."""
    return joined(fill("paragraph", text=_line(paragraph)) for paragraph in prose.paragraphs(text, values))


def sentence(text: str) -> Html:
    """A text of one paragraph, without the paragraph."""
    return _line(prose.spans(text))


def _line(spans: Iterable[prose.Span]) -> Html:
    return Html("".join(fill(f"span-{span.kind}", text=span.text, address=span.address) for span in spans))


class View:
    """Shows what was seen on one journey. `tokens` are its tokens with their names; `configuration` is the file."""

    def __init__(self, tokens: Mapping[str, str], configuration: Path) -> None:
        self._tokens = tokens
        self._configuration = configuration

    def show(self, seen: Seen) -> Html:
        """One thing that was to be seen."""
        failure = fill("failure", text=seen.failure) if seen.failure else NOTHING
        match seen:
            case Exchange():
                return self._exchange(seen, failure)
            case Link():
                return fill(
                    "link",
                    way=_way(_TO_USER),
                    address=_breakable(seen.address),
                    parameters=self._meanings(seen.parameters, PARAMETERS),
                    kept=self._meanings(seen.kept, PARAMETERS),
                )
            case Returned():
                return self._returned(seen, failure)
            case Decoded():
                return self._decoded(seen)
            case Shortened():
                ends = prose.claim_in_words("exp", int(seen.ends_at))
                return fill("shortened", seconds=str(seen.seconds), ends=ends)
            case Unanswered():
                return failure

    def _exchange(self, exchange: Exchange, failure: Html) -> Html:
        sent = exchange.sent
        known = {name: value for name, value in exchange.form.items() if name in PARAMETERS}
        members = {
            name: prose.claim_in_words(name, value)
            for name, value in sent.response.members().items()
            if name in PARAMETERS and sent.status == 200
        }
        return fill(
            "exchange",
            title=exchange.title,
            way=_way(exchange.way),
            verdict=str(exchange.got),
            kind="good" if sent.status < 400 else "refused",
            failure=failure,
            request=self._message(sent.request),
            form=self._folded("The parameters explained", known),
            response=self._message(sent.response),
            members=self._folded("The answer explained", members),
            tokens=self._whole_tokens(sent.request, sent.response),
            explanation=self._explanation(exchange) if exchange.explanation is not None else NOTHING,
        )

    def _message(self, message: Message) -> Html:
        """First line, header fields, body; as they went over the wire, but for the tokens and the layout of JSON."""
        lines = [fill("first-line", text=_breakable(self._short(message.first)))]
        lines += [fill("field", name=name, value=self._short(value)) for name, value in message.fields]
        if message.body:
            lines += [NOTHING, _breakable(self._short(prose.laid_out(message.body)))]
        return joined(lines)

    def _short(self, text: str) -> str:
        return prose.with_short_tokens(text, self._tokens)

    def _folded(self, title: str, values: Mapping[str, str]) -> Html:
        if not values:
            return NOTHING
        return fill("fold", title=title, content=self._meanings(values, PARAMETERS))

    def _whole_tokens(self, *messages: Message) -> Html:
        """Every token of the messages, in full."""
        text = "\n".join(f"{message.first}\n{message.fields}\n{message.body}" for message in messages)
        found = [(name, token) for token, name in self._tokens.items() if token in text]
        if not found:
            return NOTHING
        rows = joined(fill("row", name=name, value=token, meaning=NOTHING) for name, token in found)
        title = "The token in full" if len(found) == 1 else "The tokens in full"
        return fill("fold", title=title, content=fill("list", rows=rows))

    def _meanings(self, values: Mapping[str, str], meanings: Mapping[str, str]) -> Html:
        rows = [
            fill(
                "row",
                name=name,
                value=self._short(value),
                meaning=fill("meaning", text=sentence(meanings[name])) if name in meanings else NOTHING,
            )
            for name, value in values.items()
        ]
        return fill("list", rows=joined(rows))

    def _returned(self, returned: Returned, failure: Html) -> Html:
        brought = returned.request or Message(returned.address, ())
        checks = [
            fill("check-met" if is_met else "check-failed", text=sentence(check)) for check, is_met in returned.checks
        ]
        return fill(
            "returned",
            way=_way(_BACK),
            failure=failure,
            request=self._message(brought),
            parameters=self._meanings(returned.parameters, PARAMETERS),
            checks=joined(checks),
        )

    def _decoded(self, decoded: Decoded) -> Html:
        if decoded.is_opaque:
            content = fill("opaque", length=str(len(decoded.token)), token=prose.shortened(decoded.token))
        else:
            header, claims = (
                self._meanings({name: prose.claim_in_words(name, value) for name, value in part.items()}, CLAIMS)
                for part in (decoded.header, decoded.claims)
            )
            content = fill("parts-of-token", header=header, claims=claims)
        return fill("decoded", title=decoded.title, content=content)

    def _explanation(self, exchange: Exchange) -> Html:
        explanation = exchange.explanation
        assert explanation is not None
        method, target = exchange.sent.request.first.split(" ")[:2]
        token = ' -t "$TOKEN"' if exchange.sent.request.value_of("Authorization") else ""
        verdict = "allowed" if explanation.allowed else f"refused, {explanation.status} {explanation.reason}"
        return fill(
            "explanation",
            verdict=verdict,
            steps=self._steps(explanation),
            upstream=_upstream(explanation),
            command=f"oauth-gateway explain {method} {target}{token} -c {self._configuration}",
        )

    def _steps(self, explanation: Explanation) -> Html:
        return joined(
            fill(
                "check",
                kind="met" if step.ok else "failed",
                mark="ok" if step.ok else "NO",
                step=step.step,
                detail=step.detail,
                where=self._where(step.where),
            )
            for step in explanation.steps
        )

    def _where(self, where: str) -> Html:
        """A line of the configuration."""
        path, _, line = where.rpartition(":")
        return fill("where", name=Path(path).name, line=line) if path else NOTHING


def _breakable(text: str) -> Html:
    """A text that breaks between its parameters rather than in the middle of one."""
    return Html(html.escape(text).replace("&amp;", "<wbr>&amp;"))


def _upstream(explanation: Explanation) -> Html:
    sent = explanation.upstream_request
    if sent is None:
        return NOTHING
    lines = [f"{sent.method} {sent.target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.headers.items())]
    return fill("upstream", text="\n".join(lines))


def _way(way: Way) -> Html:
    speaker, hearer = way
    return fill("way", speaker=speaker.value, hearer=hearer.value)

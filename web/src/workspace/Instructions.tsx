import "./instructions.css";
import { lexer, type Token, type Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { Copy } from "../ui/Copy.js";

/** What learners read: Markdown, made into elements one by one. No text of it is ever HTML. */
export function Instructions({ text, onRun }: { text: string; onRun(code: string): void }) {
  const tokens = useMemo(() => lexer(text), [text]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <section class="instructions" aria-label="Instructions" tabIndex={0}>
      {tokens.map((token) => block(token, onRun))}
    </section>
  );
}

/** Languages whose blocks are meant for the shell. */
const SHELL = /^(sh|bash|shell|console)?$/;

function block(token: Token, onRun: (code: string) => void): ComponentChildren {
  const inner = (tokens: Token[] | undefined) => (tokens ?? []).map((one) => block(one, onRun));
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading": {
      // The page has its own first heading.
      const level = Math.min((token as Tokens.Heading).depth + 1, 6);
      const Name = `h${level}` as "h2";
      return <Name>{inline(token.tokens)}</Name>;
    }
    case "paragraph":
      return <p>{inline(token.tokens)}</p>;
    case "text":
      return token.tokens ? inline(token.tokens) : token.text;
    case "checkbox":
      return <Done is={(token as Tokens.Checkbox).checked} />;
    case "blockquote":
      return <blockquote>{inner(token.tokens)}</blockquote>;
    case "hr":
      return <hr />;
    case "list": {
      const { ordered, start, items } = token as Tokens.List;
      const lines = items.map((item) => <li>{inner(item.tokens)}</li>);
      return ordered ? <ol start={Number(start) || 1}>{lines}</ol> : <ul>{lines}</ul>;
    }
    case "table": {
      const { header, rows } = token as Tokens.Table;
      return (
        <table>
          <thead>
            <tr>
              {header.map((cell) => (
                <th scope="col">{inline(cell.tokens)}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr>
                {row.map((cell) => (
                  <td>{inline(cell.tokens)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      );
    }
    case "code":
      return <Code code={token.text} language={(token as Tokens.Code).lang ?? ""} onRun={onRun} />;
    default:
      // Raw HTML and what is yet unknown: shown as it was written.
      return <p>{token.raw}</p>;
  }
}

/** A box of a task list: what is written there, and not for the learner to tick. */
function Done({ is }: { is: boolean }) {
  return (
    <>
      <span aria-hidden="true">{is ? "☑" : "☐"} </span>
      <span class="unseen">{is ? "done: " : "to do: "}</span>
    </>
  );
}

function Code(props: { code: string; language: string; onRun(code: string): void }) {
  const { code, language, onRun } = props;
  return (
    <div class="block">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys */}
      <pre tabIndex={0}>
        <code>{code}</code>
      </pre>
      <div class="row">
        {SHELL.test(language.split(/\s/)[0] ?? "") && (
          <button type="button" class="small" onClick={() => onRun(code)}>
            Run
          </button>
        )}
        <Copy text={code} what="code" />
      </div>
    </div>
  );
}

function inline(tokens: Token[] | undefined): ComponentChildren {
  return (tokens ?? []).map((token) => {
    switch (token.type) {
      case "strong":
        return <strong>{inline(token.tokens)}</strong>;
      case "em":
        return <em>{inline(token.tokens)}</em>;
      case "del":
        return <del>{inline(token.tokens)}</del>;
      case "codespan":
        return <code>{token.text}</code>;
      case "checkbox":
        return <Done is={(token as Tokens.Checkbox).checked} />;
      case "br":
        return <br />;
      case "link":
        return <Link to={token.href}>{inline(token.tokens)}</Link>;
      case "image":
        // Nothing is fetched from elsewhere: the text stands for the picture.
        return <Link to={token.href}>{token.text || token.href}</Link>;
      case "text":
        return token.tokens ? inline(token.tokens) : token.text;
      case "escape":
        return token.text;
      default:
        return token.raw;
    }
  });
}

function Link({ to, children }: { to: string; children: ComponentChildren }) {
  // Anything but these could be code.
  if (!/^https?:\/\//i.test(to)) return <>{children}</>;
  return (
    <a href={to} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}

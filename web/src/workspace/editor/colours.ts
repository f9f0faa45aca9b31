import { HighlightStyle } from "@codemirror/language";
import { tags } from "@lezer/highlight";

/** Code on a dark ground; on a light one CodeMirror's own can be read. */
export const darkStyle: HighlightStyle = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword], color: "#dba3f0" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "#74d6a3" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "#f0bd63" },
  { tag: [tags.comment, tags.meta], color: "#98a1b3", fontStyle: "italic" },
  { tag: [tags.definition(tags.variableName), tags.function(tags.variableName)], color: "#8fb0ff" },
  { tag: [tags.typeName, tags.className, tags.tagName], color: "#6fd3e0" },
  { tag: [tags.propertyName, tags.attributeName], color: "#b5cbff" },
  { tag: tags.heading, color: "#8fb0ff", fontWeight: "bold" },
  { tag: [tags.link, tags.url], color: "#8fb0ff", textDecoration: "underline" },
  { tag: tags.emphasis, fontStyle: "italic" },
  { tag: tags.strong, fontWeight: "bold" },
  { tag: tags.invalid, color: "#ff9a91" },
]);

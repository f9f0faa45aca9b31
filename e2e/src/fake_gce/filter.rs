//! `filter=` of lists: comparisons joined by AND, of AIP-160's words those that
//! fit one resource. OR and NOT are refused, and whatever else is not understood:
//! a filter that is quietly wider than meant would show what is not ours.

use std::cmp::Ordering;

use serde_json::Value;

use super::refusal::Refusal;

const SIGNS: [&str; 7] = ["!=", ">=", "<=", "=", ">", "<", ":"];

/// A filter that was understood.
#[derive(Debug, PartialEq)]
pub(crate) struct Filter(Vec<Comparison>);

#[derive(Debug, PartialEq)]
struct Comparison {
    path: Vec<String>,
    sign: &'static str,
    value: String,
}

impl Filter {
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = || {
            let why = "Invalid list filter expression.";
            Refusal::field("filter", text, why)
        };
        let mut words = words(text).ok_or_else(refuse)?.into_iter().peekable();
        let mut all = vec![];
        while let Some(word) = words.next() {
            if matches!(word.as_str(), "OR" | "NOT") {
                return Err(refuse());
            }
            if word == "AND" {
                if all.is_empty() || words.peek().is_none_or(|next| next == "AND") {
                    return Err(refuse());
                }
                continue;
            }
            let sign = words.next().ok_or_else(refuse)?;
            let value = words.next().ok_or_else(refuse)?;
            let sign = SIGNS.into_iter().find(|known| *known == sign);
            let path: Vec<_> = word.split('.').map(str::to_owned).collect();
            if path.iter().any(String::is_empty) || SIGNS.iter().any(|sign| value.starts_with(sign))
            {
                return Err(refuse());
            }
            all.push(Comparison {
                path,
                sign: sign.ok_or_else(refuse)?,
                value: value.trim_matches('"').to_owned(),
            });
        }
        Ok(Self(all))
    }

    pub(crate) fn takes(&self, resource: &Value) -> bool {
        self.0.iter().all(|comparison| comparison.takes(resource))
    }
}

impl Comparison {
    fn takes(&self, resource: &Value) -> bool {
        let found = self.path.iter().try_fold(resource, |at, name| at.get(name));
        let found = match found {
            None | Some(Value::Null) => return self.sign == "!=",
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let order = match (found.parse::<f64>(), self.value.parse::<f64>()) {
            (Ok(found), Ok(wanted)) => found.partial_cmp(&wanted).unwrap_or(Ordering::Less),
            _ => found.as_str().cmp(&self.value),
        };
        match self.sign {
            "=" => order.is_eq(),
            "!=" => order.is_ne(),
            ">" => order.is_gt(),
            "<" => order.is_lt(),
            ">=" => order.is_ge(),
            "<=" => order.is_le(),
            _ => self.value == "*" || found.contains(&self.value),
        }
    }
}

/// Names, signs and values; brackets only around one comparison each.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut all, mut word) = (vec![], String::new());
    let (mut deep, mut rest) = (0, text);
    while let Some(next) = rest.chars().next() {
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        // The text of a time has colons that are no sign.
        let in_value = all
            .last()
            .is_some_and(|last: &String| SIGNS.contains(&last.as_str()));
        let mut taken = next.len_utf8();
        if next == '"' {
            let end = rest[1..].find('"')? + 2;
            word.push_str(&rest[..end]);
            taken = end;
        } else if matches!(next, ' ' | '(' | ')') || (sign.is_some() && !in_value) {
            if !word.is_empty() {
                all.push(std::mem::take(&mut word));
            }
            match next {
                '(' => deep += 1,
                ')' => deep -= 1,
                _ => {}
            }
            if let Some(sign) = sign {
                all.push(sign.to_owned());
                taken = sign.len();
            }
        } else {
            word.push(next);
        }
        if !(0..=1).contains(&deep) {
            return None;
        }
        rest = &rest[taken..];
    }
    if !word.is_empty() {
        all.push(word);
    }
    (deep == 0 && !all.is_empty()).then_some(all)
}

//! Single values of the pipeline file: `${NAME}`, and what an unquoted word means.

/// Looks up an environment variable.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Name and value of an environment variable that was put in.
pub(crate) type Variable = (String, String);

/// One value that is neither a list nor a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scalar {
    /// The text, variables already put in.
    pub(crate) text: String,
    /// Whether it stands without quotes, so that `5` is a number.
    pub(crate) plain: bool,
    /// Name and value of each variable in it; the values are never shown.
    pub(crate) variables: Vec<Variable>,
}

/// What an unquoted word means, by the core schema of YAML 1.2 (section 10.3.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    Nothing,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

impl Meaning {
    /// How a message names it.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Meaning::Nothing => "nothing",
            Meaning::Bool(_) => "true or false",
            Meaning::Unsigned(_) | Meaning::Signed(_) | Meaning::Float(_) => "a number",
            Meaning::Text => "text",
        }
    }
}

impl Scalar {
    /// What it means.
    pub(crate) fn meaning(&self) -> Meaning {
        if !self.plain {
            return Meaning::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Nothing,
            "true" | "True" | "TRUE" => Meaning::Bool(true),
            "false" | "False" | "FALSE" => Meaning::Bool(false),
            text => number(text),
        }
    }
}

fn number(text: &str) -> Meaning {
    let based = |digits: &str, base| u64::from_str_radix(digits, base).map(Meaning::Unsigned);
    if let Some(Ok(number)) = text.strip_prefix("0x").map(|digits| based(digits, 16)) {
        return number;
    }
    if let Some(Ok(number)) = text.strip_prefix("0o").map(|digits| based(digits, 8)) {
        return number;
    }
    if let Ok(number) = text.parse() {
        return Meaning::Unsigned(number);
    }
    if let Ok(number) = text.parse() {
        return Meaning::Signed(number);
    }
    // Rust reads words such as `inf` and `nan` as floats; YAML writes them with a dot.
    let starts_like_one = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let has_digit = text.contains(|c: char| c.is_ascii_digit());
    match text.parse() {
        Ok(number) if starts_like_one && has_digit => Meaning::Float(number),
        _ => Meaning::Text,
    }
}

/// Puts variables into a text. Only `${NAME}` is one; `$` before anything else stays.
///
/// # Errors
/// The names of all variables that are not set.
pub(crate) fn interpolate(
    text: &str,
    lookup: Lookup<'_>,
) -> Result<(String, Vec<Variable>), Vec<String>> {
    let (mut out, mut variables, mut missing) = (String::new(), Vec::new(), Vec::new());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let Some(name) = variable(from) else {
            out.push_str("${");
            rest = &from[2..];
            continue;
        };
        match lookup(name) {
            Some(value) => {
                out.push_str(&value);
                variables.push((name.to_owned(), value));
            }
            None => missing.push(name.to_owned()),
        }
        rest = &from[name.len() + 3..];
    }
    out.push_str(rest);
    if missing.is_empty() {
        Ok((out, variables))
    } else {
        Err(missing)
    }
}

/// The name in a text that begins with `${NAME}`.
fn variable(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix("${")?.split_once('}')?;
    let legal = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let ok = !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(legal);
    (ok && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_in_braces_is_a_variable() {
        let lookup = |name: &str| (name == "HOST").then(|| "kafka-1".to_owned());
        let check = |text: &str, expected: Result<&str, Vec<String>>| {
            let found = interpolate(text, &lookup).map(|(text, _)| text);
            assert_eq!(found, expected.map(str::to_owned), "{text}");
        };
        check("${HOST}:9092", Ok("kafka-1:9092"));
        check("$Default", Ok("$Default"));
        check("$$ ${} ${a b} ${HOST", Ok("$$ ${} ${a b} ${HOST"));
        check("$${HOST}", Ok("$kafka-1"));
        check("${A}${HOST}${B}", Err(vec!["A".to_owned(), "B".to_owned()]));
    }

    #[test]
    fn unquoted_words_mean_what_yaml_says() {
        let check = |text: &str, expected| {
            let scalar = Scalar {
                text: text.to_owned(),
                plain: true,
                variables: Vec::new(),
            };
            assert_eq!(scalar.meaning(), expected, "{text}");
        };
        check("~", Meaning::Nothing);
        check("true", Meaning::Bool(true));
        check("yes", Meaning::Text);
        check("0x1F", Meaning::Unsigned(31));
        check("-4", Meaning::Signed(-4));
        check("1e3", Meaning::Float(1000.0));
        check("nan", Meaning::Text);
        check("1.2.3", Meaning::Text);
    }
}

//! An error with its causes, for people.

use std::error::Error;

/// An error and what caused it, outermost first, on one line.
///
/// A cause that is part of the text before it is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("writing the file")]
        Silent(#[source] io::Error),
        #[error("writing the file: {0}")]
        Repeating(#[source] io::Error),
    }

    #[test]
    fn each_cause_is_said_once() {
        let full = || io::Error::other("disk full");
        let expected = "writing the file: disk full";
        assert_eq!(chain(&Outer::Silent(full())), expected);
        assert_eq!(chain(&Outer::Repeating(full())), expected);
    }
}

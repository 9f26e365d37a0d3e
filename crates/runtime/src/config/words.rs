//! The nearest known word, for people who mistyped one.

/// Below this likeness a suggestion would only confuse.
const LIKE_ENOUGH: f64 = 0.7;

/// The known word that `word` is most like, if any is like it at all.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let scored = known.into_iter().map(|candidate| {
        (
            strsim::jaro_winkler(&word, &candidate.to_lowercase()),
            candidate,
        )
    });
    scored
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean X?` or, without a near word, `; known are A, B, C`.
pub(crate) fn hint(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("; did you mean {near}?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_the_one_that_was_meant() {
        let known = ["poll_interval_secs", "overlap_secs", "api"];
        let check = |word, expected| assert_eq!(nearest(word, known), expected);
        check("poll_intervall_secs", Some("poll_interval_secs"));
        check("Overlap_Sec", Some("overlap_secs"));
        check("zzz", None);
        assert_eq!(
            hint("zzz", &known[..2]),
            "; known are poll_interval_secs, overlap_secs"
        );
    }
}

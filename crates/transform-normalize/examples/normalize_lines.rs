//! Temporary stand-in for `tapline normalize`.
use std::io::{BufRead, Write};
use std::sync::Arc;
use tapline_transform_normalize::{Mappings, NormalizeConfig, Normalizer, Recognizer, To};

fn main() {
    let to = if std::env::args().any(|arg| arg == "cef") {
        To::Cef
    } else {
        To::Ocsf
    };
    let mappings = match Mappings::load(&NormalizeConfig::new(to), std::path::Path::new(".")) {
        Ok(mappings) => mappings,
        Err(error) => panic!("{error}"),
    };
    let mut normalizer = Normalizer::new(Arc::new(mappings));
    let mut recognizer = Recognizer::default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.expect("read");
        let meta = recognizer.metadata(&line, None).expect("json");
        let (event, _) = normalizer.event(&meta, &line).expect("fits");
        out.write_all(&event).expect("written");
        out.write_all(b"\n").expect("written");
    }
}

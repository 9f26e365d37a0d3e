//! `tapline normalize`: events on standard input, one normalized line each on standard output.

use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use tapline_core::Kind;
use tapline_transform_normalize::{
    Coverage, InputError, Mappings, NormalizeConfig, NormalizeError, Normalizer, Recognizer,
    Record, To, split_input,
};

use crate::cli::{Normalize, Target};
use crate::{Exit, say};

pub(crate) fn run(arguments: &Normalize) -> anyhow::Result<Exit> {
    let to = match arguments.to {
        Target::Ocsf => To::Ocsf,
        Target::Cef => To::Cef,
        Target::Leef => To::Leef,
        Target::Ecs => To::Ecs,
    };
    anyhow::ensure!(
        !arguments.coverage || matches!(to, To::Ocsf | To::Ecs),
        "--coverage is for ocsf and ecs: a line of CEF or LEEF has no place for what no rule takes"
    );
    let mappings = Mappings::load(&NormalizeConfig::new(to), Path::new("."))
        .context("loading the mappings")?;
    let mut filter = Filter::new(Arc::new(mappings), arguments);
    let stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match filter.run(io::stdin().lock(), stdout) {
        // Whoever read our output has seen enough.
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(Exit::Ok);
        }
        other => other?,
    }
    filter.report_coverage();
    Ok(match filter.errors {
        0 => Exit::Ok,
        _ => Exit::Failed,
    })
}

/// Why it cannot go on; a record that is wrong is no reason.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("reading standard input")]
    Input(#[source] io::Error),
    #[error("writing to standard output")]
    Output(#[source] io::Error),
}

/// Normalizes what it reads.
struct Filter {
    normalizer: Normalizer,
    recognizer: Recognizer,
    kind: Option<Kind>,
    coverage: Option<Coverage>,
    line: Vec<u8>,
    errors: u64,
}

impl Filter {
    fn new(mappings: Arc<Mappings>, arguments: &Normalize) -> Self {
        let mut normalizer = Normalizer::new(mappings);
        if arguments.coverage {
            normalizer.watch();
        }
        Self {
            normalizer,
            recognizer: Recognizer::default(),
            kind: arguments.kind.as_deref().map(Kind::new),
            coverage: arguments.coverage.then(Coverage::default),
            line: Vec::new(),
            errors: 0,
        }
    }

    fn run(&mut self, input: impl BufRead, mut output: impl Write) -> Result<(), Stop> {
        for record in split_input(input) {
            match record {
                Ok(record) => self.record(&record, &mut output).map_err(Stop::Output)?,
                Err(InputError::NotJson { line, why }) => self.report(line, &why.to_string()),
                Err(InputError::Read(error)) => return Err(Stop::Input(error)),
            }
        }
        output.flush().map_err(Stop::Output)
    }

    fn record(&mut self, record: &Record, output: &mut impl Write) -> io::Result<()> {
        if record.body.first() != Some(&b'{') {
            self.report(record.line, "an event is a JSON object");
            return Ok(());
        }
        self.line.clear();
        match self.normalize(&record.body) {
            Ok(()) => {
                self.line.push(b'\n');
                output.write_all(&self.line)
            }
            Err(error) => {
                self.report(record.line, &error.to_string());
                Ok(())
            }
        }
    }

    fn normalize(&mut self, body: &[u8]) -> Result<(), NormalizeError> {
        let meta = self.recognizer.metadata(body, self.kind.as_ref())?;
        self.normalizer.normalize(&meta, body, &mut self.line)?;
        if let Some(coverage) = &mut self.coverage {
            self.normalizer.add_to(meta.kind.as_str(), coverage);
        }
        Ok(())
    }

    fn report(&mut self, line: u64, error: &str) {
        self.errors += 1;
        say(json!({ "line": line, "error": error }));
    }

    /// One JSON object for each field of each kind: where it went, and how often.
    fn report_coverage(&self) {
        for (kind, field, [mapped, unmapped, unknown]) in
            self.coverage.iter().flat_map(Coverage::fields)
        {
            let counts = json!({
                "kind": kind, "field": field,
                "mapped": mapped, "unmapped": unmapped, "unknown": unknown,
            });
            say(counts);
        }
    }
}

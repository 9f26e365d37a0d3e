//! `tapline normalize`: events on standard input, one normalized line each on standard output.

use std::io::{BufRead, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use tapline_core::Kind;
use tapline_transform_normalize::{
    Coverage, Mappings, NormalizeConfig, Normalizer, Recognizer, To,
};

use crate::Exit;
use crate::cli::{Normalize, Target};
use crate::input::{Document, Documents, records};

pub(crate) fn run(arguments: &Normalize) -> anyhow::Result<Exit> {
    let to = match arguments.to {
        Target::Ocsf => To::Ocsf,
        Target::Cef => To::Cef,
    };
    let mappings = Mappings::load(&NormalizeConfig::new(to), Path::new("."))
        .context("loading the mappings")?;
    let mut filter = Filter::new(Arc::new(mappings), arguments);
    let stdin = std::io::stdin().lock();
    let mut stdout = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    filter.run(stdin, &mut stdout)?;
    stdout.flush().context("writing to standard output")?;
    filter.report_coverage();
    Ok(if filter.errors == 0 {
        Exit::Ok
    } else {
        Exit::Failed
    })
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

    fn run(&mut self, input: impl BufRead, output: &mut impl Write) -> anyhow::Result<()> {
        let mut documents = Documents::new(input);
        while let Some(document) = documents.next().context("reading standard input")? {
            self.document(&document, output)
                .context("writing to standard output")?;
        }
        Ok(())
    }

    fn document(&mut self, document: &Document, output: &mut impl Write) -> std::io::Result<()> {
        let records = match records(&document.bytes) {
            Ok(records) => records,
            Err(error) => {
                self.report(document.line, &error.to_string());
                return Ok(());
            }
        };
        for record in records {
            self.line.clear();
            match self.record(record) {
                Ok(()) => {
                    self.line.push(b'\n');
                    output.write_all(&self.line)?;
                }
                Err(error) => self.report(document.line, &error),
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &[u8]) -> Result<(), String> {
        if record.first() != Some(&b'{') {
            return Err("an event is a JSON object".to_owned());
        }
        let meta = self
            .recognizer
            .metadata(record, self.kind.as_ref())
            .map_err(|error| error.to_string())?;
        self.normalizer
            .normalize(&meta, record, &mut self.line)
            .map_err(|error| error.to_string())?;
        if let Some(coverage) = &mut self.coverage {
            self.normalizer.add_to(meta.kind.as_str(), coverage);
        }
        Ok(())
    }

    fn report(&mut self, line: u64, error: &str) {
        self.errors += 1;
        eprintln!("{}", json!({ "line": line, "error": error }));
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
            eprintln!("{counts}");
        }
    }
}

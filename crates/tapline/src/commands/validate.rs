//! `tapline validate`: a pipeline file, without connecting anywhere.

use std::path::Path;

use tapline_runtime::topology::Node;
use tapline_runtime::{Mistakes, Pipeline, config};

use crate::Exit;
use crate::cli::PipelineFile;
use crate::{plugins, say};

pub(crate) fn run(arguments: &PipelineFile) -> anyhow::Result<Exit> {
    match load(&arguments.config) {
        Ok(pipeline) => {
            for warning in &pipeline.warnings {
                say(format_args!(
                    "{}: warning: {warning}",
                    arguments.config.display()
                ));
            }
            let topology = &pipeline.topology;
            say(format_args!(
                "{}: right: {} sources, {} transforms, {} sinks",
                arguments.config.display(),
                written(&topology.sources),
                topology.transforms.len(),
                written(&topology.sinks) + topology.transactional.len()
            ));
            Ok(Exit::Ok)
        }
        Err(mistakes) => {
            say(mistakes);
            Ok(Exit::Mistakes)
        }
    }
}

/// How many components of a sort the file has; a spool is made of two more.
fn written<T: ?Sized>(nodes: &[Node<T>]) -> usize {
    let written = nodes.iter().filter(|node| node.name.type_name != "spool");
    written.count()
}

/// Reads a pipeline file with the plugins this program has.
pub(crate) fn load(file: &Path) -> Result<Pipeline, Mistakes> {
    config::load(file, &plugins::registry())
}

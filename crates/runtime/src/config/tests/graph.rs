//! Who reads from whom.

use super::*;

#[test]
fn the_graph_is_checked_for_names_directions_and_readers() {
    let sink = |inputs: &str| {
        format!("sinks: {{ f: {{ type: file, inputs: {inputs}, config: {{ path: x }} }} }}\n")
    };
    check(
        &with_graph(&["alerts"], &sink("[alrets]")),
        &["p.yaml:4:36: sinks.f.inputs[0]: no component is named alrets; did you mean alerts?"],
    );
    check(
        &with_graph(&["alerts"], &sink("[]")),
        &[
            "p.yaml:3:3: sources.alerts: nobody reads it; name it in the inputs of a transform or sink",
            "p.yaml:4:10: sinks.f: has no inputs; name the components whose events it takes",
        ],
    );
    check(
        &with_graph(&["a", "b"], &sink("[a, a]")),
        &[
            "p.yaml:4:3: sources.b: nobody reads it; name it in the inputs of a transform or sink",
            "p.yaml:5:39: sinks.f.inputs[1]: a is named twice",
        ],
    );
    check(
        &with_graph(&["a"], &sink("[a, f]")),
        &["p.yaml:4:39: sinks.f.inputs[1]: a component cannot be its own input"],
    );
    check(
        &with_graph(&["f"], &sink("[f]")),
        &[
            "p.yaml:4:10: sinks.f: two components are named f, the other is sources.f in line 3",
            "p.yaml:4:36: sinks.f.inputs[0]: a component cannot be its own input",
        ],
    );
}

#[test]
fn a_circle_is_shown_as_it_runs() {
    let text = with_graph(
        &["s"],
        "transforms:\n  a: { type: copy, inputs: [s, c] }\n  b: { type: copy, inputs: [a] }\n  c: { type: copy, inputs: [b] }\n\
         sinks: { f: { type: file, inputs: [c], config: { path: x } } }\n",
    );
    check(
        &text,
        &["p.yaml:5:3: transforms.a: events would go in a circle: a -> b -> c -> a"],
    );
}

#[test]
fn transforms_come_after_their_inputs_whatever_the_order_of_the_file() {
    let text = with_graph(
        &["s"],
        "transforms:\n  last: { type: copy, inputs: [middle, s] }\n  middle: { type: copy, inputs: [first] }\n  first: { type: copy, inputs: [s] }\n\
         sinks: { f: { type: file, inputs: [last], config: { path: x } } }\n",
    );
    let pipeline = parsed(&text).unwrap_or_else(|lines| panic!("{lines:#?}"));
    let order: Vec<&str> = pipeline
        .topology
        .transforms
        .iter()
        .map(|node| &*node.name.id)
        .collect();
    assert_eq!(order, ["first", "middle", "last"]);
}

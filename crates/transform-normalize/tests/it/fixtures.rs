//! Synthetic records in the shapes of the APIs.

/// A Graph alert with the members and the evidence given.
pub(crate) fn alert(members: &str, evidence: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(
        r##"{{"@odata.type":"#microsoft.graph.security.alert","id":"da11111111-2222-3333-4444-555555555555_1","tenantId":"99999999-2222-3333-4444-555555555555","title":"Suspicious file","createdDateTime":"2026-03-04T05:06:07.1234567Z","lastUpdateDateTime":"2026-03-04T06:06:07.1234567Z"{comma}{members},"evidence":[{evidence}]}}"##
    )
}

/// One evidence of a kind such as `fileEvidence`.
pub(crate) fn evidence(kind: &str, members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(
        r##"{{"@odata.type":"#microsoft.graph.security.{kind}","createdDateTime":"2026-03-04T05:06:07.1234567Z","verdict":"suspicious"{comma}{members}}}"##
    )
}

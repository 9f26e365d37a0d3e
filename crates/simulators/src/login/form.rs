//! What a token request asks for.

use super::refused::Refused;
use crate::answer::Asked;
use crate::tokens::Audience;
use crate::wire::decode_pairs;
use http::Method;

/// The two generations of the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    V1,
    V2,
}

/// The fields of a token request.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or_else(|| Refused::missing(name))
    }
}

/// What a token is asked for.
pub(super) struct Target {
    pub(super) audience: Audience,
    /// The App ID URI (v1) or the scopes (v2) as asked.
    pub(super) text: String,
    /// The resource alone.
    pub(super) resource: String,
    /// Whether a refresh token is wanted beside it.
    pub(super) offline: bool,
}

pub(super) fn read_form(asked: &Asked) -> Result<Form, Refused> {
    if asked.method != Method::POST {
        return Err(Refused::only_post(&asked.method));
    }
    let declared = asked
        .headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let text = std::str::from_utf8(&asked.body)
        .ok()
        .filter(|text| is_form(text));
    match text {
        Some(text) if declared.starts_with("application/x-www-form-urlencoded") => {
            Ok(Form(decode_pairs(text)))
        }
        _ => Err(Refused::missing("grant_type")),
    }
}

/// Whether a body can be a form: no raw blanks or control characters, nothing beyond ASCII, whole percent codes.
fn is_form(text: &str) -> bool {
    let whole =
        |code: &str| code.len() >= 2 && code.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    text.bytes().all(|byte| byte.is_ascii_graphic()) && text.split('%').skip(1).all(whole)
}

pub(super) fn target(
    form: &Form,
    generation: Generation,
    application_only: bool,
) -> Result<Target, Refused> {
    match (generation, form.get("resource")) {
        (Generation::V2, Some(_)) => Err(Refused::resource_on_v2()),
        (Generation::V2, None) => scope_target(form, application_only),
        (Generation::V1, None) => Err(Refused::missing("resource")),
        (Generation::V1, Some(resource)) => {
            let audience =
                Audience::of(resource).ok_or_else(|| Refused::unknown_resource(resource))?;
            Ok(Target {
                audience,
                text: resource.to_owned(),
                resource: resource.to_owned(),
                offline: !application_only,
            })
        }
    }
}

/// Client credentials ask for `/.default` of one resource; a user's scopes may name single permissions, or nothing at all.
fn scope_target(form: &Form, application_only: bool) -> Result<Target, Refused> {
    let Some(scope) = form.get("scope") else {
        let original = Target {
            audience: Audience::Graph,
            text: "https://graph.microsoft.com/.default".into(),
            resource: "https://graph.microsoft.com".into(),
            offline: true,
        };
        return if application_only {
            Err(Refused::missing("scope"))
        } else {
            Ok(original)
        };
    };
    let about_sign_in =
        |word: &&str| ["offline_access", "openid", "profile", "email"].contains(word);
    let wanted: Vec<&str> = scope
        .split_whitespace()
        .filter(|word| !about_sign_in(word))
        .collect();
    let resource = match wanted[..] {
        [one] => one.strip_suffix("/.default").or_else(|| {
            if application_only {
                None
            } else {
                Some(one.rsplit_once('/')?.0)
            }
        }),
        [first, ..] if !application_only => first.rsplit_once('/').map(|parts| parts.0),
        _ => None,
    };
    let resource = resource.ok_or_else(|| Refused::bad_scope(scope))?;
    let audience = Audience::of(resource).ok_or_else(|| Refused::unknown_resource(resource))?;
    Ok(Target {
        audience,
        text: scope.to_owned(),
        resource: resource.to_owned(),
        offline: scope
            .split_whitespace()
            .any(|word| word == "offline_access"),
    })
}

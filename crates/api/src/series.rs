//! `labels`, `label/NAME/values` and `series`.

use crate::answer::{self, Failure, Remarks};
use crate::parameters::{MAX_TIME_MS, MIN_TIME_MS, Parameters};
use crate::{Shared, json, run};
use axum::extract::Path;
use axum::response::Response;
use model::{Hints, Labels, Matcher, ReadError, Selection, Storage, labels::Quoted};

/// Which series, of which time, and how many of the answer.
struct Asked {
    sets: Vec<Vec<Matcher>>,
    start_ms: i64,
    end_ms: i64,
    limit: usize,
}

impl Asked {
    fn new(parameters: &Parameters) -> Result<Asked, Failure> {
        Ok(Asked {
            limit: parameters.limit()?,
            start_ms: parameters.time_or("start", MIN_TIME_MS)?,
            end_ms: parameters.time_or("end", MAX_TIME_MS)?,
            sets: parameters.matchers().map_err(Failure::BadData)?,
        })
    }
}

/// `GET` and `POST /api/v1/labels`.
pub async fn label_names(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let asked = Asked::new(&parameters)?;
    let limit = asked.limit;
    let names = run::read(api, move |_, storage| {
        storage.label_names(&asked.sets, asked.start_ms, asked.end_ms).map_err(failed)
    })
    .await?;
    Ok(list(names, limit))
}

/// `GET /api/v1/label/NAME/values`.
pub async fn label_values(
    api: Shared,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let name = name.strip_prefix("U__").map_or(name.clone(), unescape);
    if name.is_empty() {
        return Err(Failure::BadData(format!("invalid label name: {}", Quoted(&name))));
    }
    let asked = Asked::new(&parameters)?;
    let limit = asked.limit;
    let values = run::read(api, move |_, storage| {
        storage.label_values(&name, &asked.sets, asked.start_ms, asked.end_ms).map_err(failed)
    })
    .await?;
    Ok(list(values, limit))
}

/// `GET` and `POST /api/v1/series`.
pub async fn series(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    if parameters.all("match[]").next().is_none() {
        return Err(Failure::BadData("no match[] parameter provided".into()));
    }
    let asked = Asked {
        limit: parameters.limit()?,
        start_ms: parameters.time_or("start", MIN_TIME_MS)?,
        end_ms: parameters.time_or("end", MAX_TIME_MS)?,
        sets: parameters.matchers().map_err(|why| Failure::parameter("match[]", why))?,
    };
    let (found, remarks) = run::read(api, move |_, storage| find(storage, &asked)).await?;
    Ok(answer::success(&remarks, |out| {
        out.push(b'[');
        for (i, labels) in found.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            json::labels(out, labels);
        }
        out.push(b']');
    }))
}

fn find(storage: &dyn Storage, asked: &Asked) -> Result<(Vec<Labels>, Remarks), Failure> {
    let mut found = Vec::new();
    let mut remarks = Remarks::default();
    // One more than asked for tells whether there are more.
    let wanted = if asked.limit == 0 { usize::MAX } else { asked.limit.saturating_add(1) };
    for matchers in &asked.sets {
        let hints = Hints {
            func: "series",
            labels_only: true,
            limit: if asked.limit == 0 { 0 } else { wanted },
            ..Hints::default()
        };
        let (start_ms, end_ms) = (asked.start_ms, asked.end_ms);
        let selection = Selection { matchers, start_ms, end_ms, hints };
        let mut set = storage.select(&selection).map_err(failed)?;
        let mut of_set = 0;
        while of_set < wanted {
            let Some(labels) = set.next().map_err(failed)? else { break };
            found.push(labels);
            of_set += 1;
        }
        remarks.warnings.extend(set.warnings());
    }
    if asked.sets.len() > 1 {
        found.sort();
        found.dedup();
    }
    if asked.limit > 0 && found.len() > asked.limit {
        found.truncate(asked.limit);
        remarks.truncated();
    }
    Ok((found, remarks))
}

fn list(mut all: Vec<String>, limit: usize) -> Response {
    let mut remarks = Remarks::default();
    if limit > 0 && all.len() > limit {
        all.truncate(limit);
        remarks.truncated();
    }
    answer::success(&remarks, |out| json::strings(out, all.iter().map(String::as_str)))
}

/// A failed read as the API tells it.
pub fn failed(error: ReadError) -> Failure {
    match error {
        ReadError::Cancelled => Failure::Canceled(error.to_string()),
        ReadError::Limit(_) | ReadError::Store(_) => Failure::Execution(error.to_string()),
    }
}

/// Undoes Prometheus's `U__` escaping: `__` is an underscore, `_HEX_` a character. What is not
/// escaped that way is left as it is.
fn unescape(escaped: &str) -> String {
    let decode = || {
        let mut name = String::new();
        let mut rest = escaped;
        while let Some(at) = rest.find('_') {
            name.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let end = rest.find('_')?;
            match &rest[..end] {
                "" => name.push('_'),
                hex => name.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?),
            }
            rest = &rest[end + 1..];
        }
        name.push_str(rest);
        Some(name)
    };
    decode().unwrap_or_else(|| format!("U__{escaped}"))
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escaped_names_come_back() {
        assert_eq!(unescape("http_2e_status__code"), "http.status_code");
        assert_eq!(unescape("a_zz_b"), "U__a_zz_b");
        assert_eq!(unescape("a_2e"), "U__a_2e");
        assert_eq!(unescape("_e9_t_e9_"), "été");
    }
}

//! Lists in pages, read to their end.
//!
//! A list ends with the last page that its answer counts (`pageCount`, `totalPageCount`), or where it counts none with a
//! page that names no next one, and always with an empty page. Bounds: [`PAGE_SIZE`] entities a page, [`ENTITIES_MAX`] in
//! all; a list that is longer is an error, since a part of it would look like the whole.

use serde_json::Value;

use crate::client::{Ask, Client, Witness};
use crate::refusal::Error;

/// Entities of a page (seed 003 reads its catalogue so).
pub const PAGE_SIZE: u64 = 100;
/// Most entities of a list that is read: far more webhooks than anybody has.
pub const ENTITIES_MAX: usize = 10_000;

/// Every entity of the list at `path`; `number` is what the parameter of the page is called.
///
/// # Errors
/// When a page is not to be had, is no page, or the list has no end.
pub async fn all(
    client: &Client,
    path: &[&str],
    number: &str,
    witness: &mut dyn Witness,
) -> Result<Vec<Value>, Error> {
    let mut entities = Vec::new();
    for page in 1_u64.. {
        let query = [
            ("pageSize", PAGE_SIZE.to_string()),
            (number, page.to_string()),
        ];
        let ask = Ask {
            query: &query,
            ..Ask::get(path)
        };
        let answer = client.call(&ask, witness).await?;
        let foreign = |what: &str| Error::Foreign {
            asked: format!("GET /{}", path.join("/")),
            what: what.to_owned(),
        };
        let found = answer.body.get("entities").and_then(Value::as_array);
        let found = found.ok_or_else(|| foreign("a list without `entities`"))?;
        entities.extend(found.iter().cloned());
        if entities.len() > ENTITIES_MAX {
            return Err(foreign(&format!(
                "a list of more than {ENTITIES_MAX} entities"
            )));
        }
        if found.is_empty() || is_last(&answer.body, page) {
            break;
        }
    }
    Ok(entities)
}

fn is_last(body: &Value, page: u64) -> bool {
    let count = ["pageCount", "totalPageCount"]
        .iter()
        .find_map(|name| body.get(name)?.as_u64());
    match count {
        Some(count) => page >= count,
        None => body.get("nextUri").is_none_or(Value::is_null),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_ends_with_the_page_that_it_counts_or_that_names_no_next() {
        for (body, page, last) in [
            (json!({"pageCount": 2}), 1, false),
            (json!({"pageCount": 2}), 2, true),
            (json!({"totalPageCount": 3}), 2, false),
            (json!({"pageCount": 0}), 1, true),
            (json!({"nextUri": "/x"}), 1, false),
            (json!({}), 1, true),
        ] {
            assert_eq!(is_last(&body, page), last, "{body} {page}");
        }
    }
}

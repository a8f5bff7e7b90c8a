//! Lists in pages: `pageSize` and `pageNumber`, or `page` as seed 003 calls it.
//!
//! Every member that Genesys Cloud has is there, and the two that seed documents add (`page`, `totalPageCount`). The
//! links are paths with a query, as there, and keep the other parameters of the request.

use serde::{Deserialize, Serialize};

/// Entities of a page unless the request says otherwise.
pub const SIZE_DEFAULT: u64 = 25;
/// Most entities of a page.
pub const SIZE_MAX: u64 = 500;
/// Highest page number: far beyond the largest list.
pub const NUMBER_MAX: u64 = 1_000_000;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// What is on the page.
    pub entities: Vec<T>,
    /// The most that a page holds.
    pub page_size: u64,
    /// Which page it is; the first is 1.
    pub page_number: u64,
    /// The same.
    #[serde(default)]
    pub page: u64,
    /// Entities on all pages.
    pub total: u64,
    /// How many pages there are.
    pub page_count: u64,
    /// The same.
    #[serde(default)]
    pub total_page_count: u64,
    /// The first page.
    #[serde(default)]
    pub first_uri: String,
    /// This page.
    #[serde(default)]
    pub self_uri: String,
    /// The page after it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_uri: Option<String>,
    /// The page before it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_uri: Option<String>,
    /// The last page; the first one where the list is empty.
    #[serde(default)]
    pub last_uri: String,
}

impl<T> Page<T> {
    /// The same page with other entities, one for each.
    #[must_use]
    pub fn with<U>(self, entities: Vec<U>) -> Page<U> {
        Page {
            entities,
            page_size: self.page_size,
            page_number: self.page_number,
            page: self.page,
            total: self.total,
            page_count: self.page_count,
            total_page_count: self.total_page_count,
            first_uri: self.first_uri,
            self_uri: self.self_uri,
            next_uri: self.next_uri,
            previous_uri: self.previous_uri,
            last_uri: self.last_uri,
        }
    }
}

/// Which page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// 1 to [`SIZE_MAX`].
    pub size: u64,
    /// From 1.
    pub number: u64,
    /// The parameter is called `page`: links call it so too.
    pub by_page: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            size: SIZE_DEFAULT,
            number: 1,
            by_page: false,
        }
    }
}

impl Wanted {
    /// Entities before this page.
    #[must_use]
    pub const fn skipped(self) -> u64 {
        self.number.saturating_sub(1).saturating_mul(self.size)
    }
}

/// The page of `all` that is `wanted`. `path` is that of the list; `others` are the further parameters of the request,
/// written as in a query.
pub fn page_of<T>(
    all: impl IntoIterator<Item = T>,
    wanted: Wanted,
    path: &str,
    others: &str,
) -> Page<T> {
    let (mut total, mut entities) = (0_u64, Vec::new());
    let (skipped, size) = (wanted.skipped(), wanted.size.max(1));
    for item in all {
        if total >= skipped && total - skipped < size {
            entities.push(item);
        }
        total += 1;
    }
    let count = total.div_ceil(size);
    let number = wanted.number;
    let name = if wanted.by_page { "page" } else { "pageNumber" };
    let and = if others.is_empty() { "" } else { "&" };
    let uri = |number: u64| format!("{path}?pageSize={size}&{name}={number}{and}{others}");
    Page {
        entities,
        page_size: size,
        page_number: number,
        page: number,
        total,
        page_count: count,
        total_page_count: count,
        first_uri: uri(1),
        self_uri: uri(number),
        next_uri: (number < count).then(|| uri(number + 1)),
        previous_uri: (number > 1).then(|| uri((number - 1).min(count.max(1)))),
        last_uri: uri(count.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(total: u64, wanted: Wanted) -> Page<u64> {
        page_of(1..=total, wanted, "/api/v2/eventtypes", "")
    }

    #[test]
    fn pages_cover_a_list_once_and_link_to_each_other() {
        let wanted = |number| Wanted {
            size: 10,
            number,
            by_page: true,
        };
        let pages: Vec<Page<u64>> = (1..=3).map(|number| page(25, wanted(number))).collect();
        let all: Vec<u64> = pages
            .iter()
            .flat_map(|page| page.entities.clone())
            .collect();
        assert_eq!(all, (1..=25).collect::<Vec<_>>());
        assert_eq!(
            pages[1].next_uri.as_deref(),
            Some("/api/v2/eventtypes?pageSize=10&page=3")
        );
        assert_eq!(
            pages[1].previous_uri.as_deref(),
            Some("/api/v2/eventtypes?pageSize=10&page=1")
        );
        assert_eq!(pages[2].next_uri, None);
        assert_eq!(pages[0].previous_uri, None);
        for page in &pages {
            assert_eq!(
                (page.total, page.page_count, page.total_page_count),
                (25, 3, 3)
            );
            assert_eq!(page.page, page.page_number);
            assert_eq!(page.last_uri, "/api/v2/eventtypes?pageSize=10&page=3");
        }
    }

    #[test]
    fn an_empty_list_has_no_page_and_one_beyond_the_end_is_empty() {
        let empty = page(0, Wanted::default());
        assert_eq!((empty.page_count, empty.total), (0, 0));
        assert!(empty.last_uri.ends_with("pageNumber=1"));
        let beyond = Wanted {
            number: 9,
            ..Wanted::default()
        };
        let beyond = page(3, beyond);
        assert!(beyond.entities.is_empty());
        assert!(beyond.previous_uri.unwrap().ends_with("pageNumber=1"));
    }
}

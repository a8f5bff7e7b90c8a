//! The table of everything that can be wrong with a configuration: a stable code, and what to do.
//!
//! `SH01…` is about form, `SH02…` about names that refer to something, `SH03…` about safety. A code is
//! never used for something else later; those that are missing were used once. `switchhook check --explain SH0104` prints an entry.

use serde::Serialize;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is put in force.
    Error,
    /// It works, and someone should look at it.
    Warning,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// An entry of the table.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Code {
    /// For example `SH0104`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Why it matters and what to do.
    pub explanation: &'static str,
}

/// The entry with this id, whatever its case.
#[must_use]
pub fn find(id: &str) -> Option<&'static Code> {
    ALL.iter()
        .copied()
        .find(|code| code.id.eq_ignore_ascii_case(id))
}

macro_rules! codes {
    ($($name:ident = $id:literal $severity:ident, $title:literal, $explanation:literal;)+) => {
        $(
            #[doc = $title]
            pub(crate) const $name: &Code = &Code {
                id: $id,
                severity: Severity::$severity,
                title: $title,
                explanation: $explanation,
            };
        )+

        /// Every entry, by id.
        pub const ALL: &[&Code] = &[$($name),+];
    };
}

codes! {
    TOO_LARGE = "SH0100" Error, "the file is too large",
        "A configuration file may have 8 MiB. Make many similar resources through the API instead.";
    SYNTAX = "SH0101" Error, "the file is not valid TOML",
        "Mend the place that is shown. Strings need quotes, tables need `[name]`, and a key may be set only once.";
    MISSING = "SH0102" Error, "a key that is needed is missing",
        "Add the key. docs/configuration.md lists what each section needs.";
    WRONG_TYPE = "SH0103" Error, "a value has the wrong type",
        "Write the value as the type that is named. Durations and sizes are strings with a unit.";
    UNKNOWN_KEY = "SH0104" Error, "a key or section does not exist",
        "A misspelt key would be a setting that silently has no effect, so it is refused. Use the key that is \
         suggested, or take it out. Keys and names are lower case.";
    OUT_OF_RANGE = "SH0105" Error, "a value is outside its limits",
        "Use a value within the limits that are named.";
    DURATION = "SH0106" Error, "a value is not a duration",
        "Write whole numbers with units, largest first: `250ms`, `5s`, `15m`, `24h`, `7d`, `1h30m`. A bare number \
         is refused, since nobody can tell seconds from milliseconds.";
    SIZE = "SH0107" Error, "a value is not a size",
        "Write a whole number with a unit: `512B`, `256KiB`, `5MB`.";
    CHOICE = "SH0108" Error, "a value is none of those that exist",
        "The value chooses between ways that the gateway knows. Use one of those that are listed.";
    NAME = "SH0109" Error, "a resource has a name that cannot be used",
        "Names stand in paths, metrics and logs: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, starting with a letter or \
         digit. Upper case is refused, so that two names never differ in case only.";
    EXACTLY_ONE = "SH0110" Error, "exactly one of several keys must be set",
        "Keep one of the keys that are named and remove the others.";
    TOO_MANY = "SH0111" Error, "there are too many of something",
        "Every list has a bound, so that memory has one. Split the resource, or shorten the list.";
    VERSION = "SH0112" Error, "the configuration version is not supported",
        "This gateway reads `version = 1`. Use a gateway that knows the version of the file.";
    EMPTY = "SH0113" Error, "a value is empty that must not be",
        "Give the value, or remove the key where it has a default.";
    POINTER = "SH0114" Error, "a value is not a JSON pointer",
        "Write a path into the JSON body after RFC 6901, for example `/channel/from/id`. `~` is written `~0` and \
         `/` within a name `~1`.";
    EVENT_TYPE = "SH0115" Error, "a value is not an event type pattern",
        "Write an exact type, a template such as `v2.routing.queues.{id}.users`, or a wildcard such as `*`.";
    ADDRESS = "SH0116" Error, "a value is not an address to listen on",
        "Write an IP address and a port, for example `127.0.0.1:8080`, `0.0.0.0:8080` or `[::1]:8080`.";
    SCHEDULE_TOO_LONG = "SH0117" Warning, "the delays add up to more than `max_age`",
        "The policy gives up at `max_age`, so its last attempts may never be made. Use fewer attempts, shorter \
         delays or a longer `max_age` (up to 24h, or 7d with `long = true`). `switchhook policy preview` shows all.";
    HEADER = "SH0118" Error, "a header cannot be sent like this",
        "A name is a token of letters, digits and `-`. A value is visible text; it may hold `{{secret:name}}`, \
         `{{eventId}}` and `{{event:/json/pointer}}`.";
    HEADER_RESERVED = "SH0119" Error, "a header may not be set",
        "The gateway or the transport sets this header itself. Use another name.";
    URL = "SH0120" Error, "an endpoint URL is refused",
        "Use https to a public host. Plain http and private addresses are taken only inside the ranges that \
         `allow_private` lists. User information belongs in a header with `{{secret:name}}`.";
    CIDR = "SH0121" Error, "a value is not an address range",
        "Write a network in CIDR form, for example `10.20.0.0/16`, `127.0.0.0/8` or `fd00::/8`.";
    RULE_MATCH = "SH0122" Error, "a rule names a result that does not exist",
        "Name a status (`408`), a class (`\"5xx\"`), a range (`\"500-503\"`), a failure (`\"timeout\"`, `\"connect\"`, \
         `\"tls\"`, …) or `\"*\"`.";
    MORE = "SH0123" Warning, "there are more problems than are shown",
        "Mend those that are shown and check again.";
    EXPRESSION = "SH0125" Error, "an expression cannot be read",
        "`when`, `body` and `filters` are written in CEL over `event` (`type`, `source`, `time`, `key`, `headers`, `data`), for \
         example `event.data.queueId in [\"q1\", \"q2\"]`. Mend the place that is shown.";
    CRITERION = "SH0126" Error, "a match criterion cannot be used",
        "Write it as a trigger of Genesys Cloud does: `{ jsonPath = \"$.mediaType\", operator = \"Equal\", value = \
         \"VOICE\" }`, or `values = […]` for `In`, `NotIn` and `All`.";
    MAPPING = "SH0127" Error, "a map cannot be used",
        "A map names a path in the new body and the path in the event's body that it is copied from: \
         `map = { \"queue.name\" = \"queueName\" }`. No field may be set twice or lie within another.";
    RATE = "SH0128" Error, "a value is not a rate",
        "Write a whole number and a unit: `200/s`, `10/min` or `500/h`.";
    CONFLICT = "SH0129" Error, "two settings do not fit together",
        "Each is right by itself, and together they say something that cannot be. Strict order needs a single \
         partition, halting a key needs an order, and a group by event type has a partition for each type. Change \
         the one that is not meant.";
    NO_KEY = "SH0130" Warning, "order by key, and no source gives a key",
        "Deliveries wait for each other only when they have the same key. Write `key` at a source, or \
         `order = \"none\"`.";
    GROUP_LIMIT = "SH0131" Error, "a group is beyond its limits",
        "A group has at most 10 endpoints with 15 event types for each, unless `members_max` (up to 100) and \
         `types_per_member_max` (up to 1000) of the group say otherwise. Divide it, or raise them.";
    TYPES_NEEDED = "SH0132" Error, "a group by event type needs event types",
        "With `affinity = \"event-type\"` each listed type goes to one endpoint. `*` would give everything to the \
         first. List the types, or use `affinity = \"key\"`.";
    IDLE_MEMBERS = "SH0133" Warning, "an endpoint of a group gets nothing",
        "There are fewer partitions than endpoints. Raise `partitions`, list more event types, or use fewer endpoints.";
    ORDER_BY_TYPE = "SH0134" Warning, "order is kept only within an event type",
        "The group gives each event type to one endpoint, so two events of one key and different types may overtake \
         each other. Use `affinity = \"key\"` where that matters.";
    PIN = "SH0135" Error, "a value is not a pin",
        "Write `sha256/` and the base64 of the SHA-256 of the public key (SPKI). `openssl x509 -pubkey -noout | \
         openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64` makes one of a certificate.";
    TIME = "SH0136" Error, "a value is not a time",
        "Write RFC 3339 with a zone, as a string: `\"2026-11-20T10:00:00Z\"`.";
    EXPECTATION = "SH0137" Error, "a test expects something that cannot be said",
        "`expect` takes `matches`, `body`, `headers`, `verdict` and `delay`, at least one of them. A delay is `\"5s\"`, \
         `\">= 30s\"`, `\"<= 1m\"` or `\"5s..7s\"`. Verdict and delay need `given`: the answer they follow from.";
    TWICE = "SH0138" Error, "something is listed twice",
        "The second would have no effect, or the effect would be another one than it seems. Take one of them out.";
    HOST = "SH0139" Error, "a value is not the name of a host",
        "Write a DNS name such as `gateway.example.com`, without scheme, port and path. IP addresses and `localhost` are \
         always taken.";
    FILTER_TYPE = "SH0140" Error, "a filter is for an event type that is not listed",
        "Each key of `filters` is an entry of `types`, written the same way. Another one would have no effect: correct it, \
         list the type, or take the filter out.";
    UNKNOWN_REFERENCE = "SH0201" Error, "a name refers to nothing",
        "Declare what is named, in the file or through the API, or use a name that exists.";
    UNKNOWN_SECRET = "SH0202" Error, "a secret is not configured",
        "In the file: add `[secret.NAME]` with `file = \"…\"` or `env = \"…\"`. For a resource made through the API: \
         `switchhook secret set NAME`, or `PUT /v1/secrets/NAME`, and try again.";
    ENV_NOT_SET = "SH0203" Error, "an environment variable is not set",
        "Set it, or give a default: `${env:NAME:-default}`. An empty variable counts as set.";
    REFERENCE = "SH0204" Error, "a reference is malformed",
        "References are `${env:NAME}`, `${env:NAME:-default}`, `${env:NAME:?message}` and `{{secret:name}}`. Write \
         `$${` for a literal `${`. The environment is read for the configuration file only, so that nobody can \
         read it through the API.";
    TWO_OWNERS = "SH0205" Error, "a resource is in the file and was also made through the API",
        "A resource has one owner. Delete it through the API, or take it out of the file.";
    RESERVED_NAME = "SH0206" Error, "a name belongs to the gateway",
        "Events of the gateway itself come from the source `switchhook`. Use another name.";
    PLAINTEXT_CREDENTIAL = "SH0301" Warning, "a header looks like a credential written out",
        "Put the value into a secret and write `{{secret:name}}`: then it is in no file that people copy, and it \
         can change without a restart.";
    LITERAL_SECRET = "SH0302" Warning, "a secret is written out",
        "Put it into a file or a variable, declare `[secret.NAME]` and write `{{secret:NAME}}`.";
    REPLAYABLE = "SH0303" Warning, "a captured request can be sent again",
        "The signature covers no time, and dedup is off: whoever sees one signed request can repeat it for ever. \
         Turn dedup on, or use `standard-webhooks`.";
    UNVERIFIED = "SH0304" Error, "anyone who can reach the listener could send events",
        "`scheme = \"none\"` is taken only when `server.ingest` is a loopback address. Choose another scheme, or \
         write `allow_unverified = true` on the source if something in front of the gateway verifies.";
    KEPT_CREDENTIAL = "SH0305" Error, "a header that carries credentials would be stored",
        "Kept headers are written to the log and shown by the API. Take it out of `keep_headers`.";
    MASKED = "SH0306" Error, "a value is the mask that stands for a secret",
        "What the API shows has `***` in place of every secret; sent back, it would become the secret. Write \
         `{{secret:NAME}}`, or the value itself.";
    VERIFICATION = "SH0307" Error, "the verification of certificates cannot be switched off",
        "Without it anyone on the way could read and change what is sent. To trust an authority of your own, put its \
         certificate into a secret and write `tls = { ca = \"{{secret:NAME}}\" }`; to trust one key only, `pins`.";
    WEAK_ENCRYPTION = "SH0308" Warning, "the encryption is weak by design",
        "`compat = \"seed-002\"` derives every key with the same public salt and does not tie a body to its delivery. \
         It is there for receivers that exist already. Without `compat` both are mended.";
    HEADER_TAKEN = "SH0309" Error, "a header would be set twice",
        "`auth` and `sign` set headers of their own. Receivers take the first or the last of two, nobody knows which. \
         Keep one.";
    TLS_ON_HTTP = "SH0310" Error, "tls settings on a plain http endpoint",
        "Nothing that `tls` asks for can hold without TLS. Use an `https` url, or remove `tls`.";
    OPEN_ADMIN = "SH0311" Warning, "the API is open to the network without TLS",
        "Tokens and events would cross the network in plain text. Listen on a loopback address, set `admin_tls`, or put \
         something in front that speaks TLS.";
}

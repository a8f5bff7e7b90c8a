//! The one table of event types that are known by name: aliases, types of our own, and topics of Genesys Cloud.
//!
//! The topics are those that its official SDKs and terraform provider name; an organisation may have more, which a
//! subscription can name all the same. The words about them are ours. Sorted by id, which a test checks.

use super::Topic;

macro_rules! topics {
    ($($id:literal = $name:literal, $description:literal;)+) => {
        /// Every entry, sorted by id.
        pub(super) const ALL: &[Topic] = &[$(Topic { id: $id, name: $name, description: $description }),+];
    };
}

topics! {
    "call:answered" = "Call answered",
        "Alias: an agent joins a conversation. Of any media; a filter on `mediaType` keeps calls alone.";
    "call:created" = "Call created",
        "Alias: a customer joins a conversation. Of any media; a filter on `mediaType` keeps calls alone.";
    "channel.metadata" = "Channel heartbeat", "Heartbeat of a notification channel, and its answer to a ping.";
    "integration.message.failed" = "Delivery given up",
        "Switchhook has given up a delivery; it is kept as a dead letter.";
    "message.create" = "Message conversation changed",
        "Alias: a message conversation of a queue or an agent has a new message or state.";
    "routing.interaction.update" = "Agent conversation changed",
        "Alias: something about a conversation of an agent has changed, whatever its media.";
    "routing.queue.conversation.abandoned" = "Conversation abandoned",
        "Alias: a conversation leaves a queue. Whether it was abandoned stands in the outcome that the event carries.";
    "routing.queue.conversation.answered" = "Conversation answered", "Alias: an agent joins a conversation.";
    "routing.queue.conversation.created" = "Conversation queued", "Alias: a conversation enters a queue.";
    "routing.queue.conversation.updated" = "Queue conversation changed",
        "Alias: something about a conversation of a queue has changed, whatever its media.";
    "routing.queue.conversation.wrapped" = "Conversation wrapped up",
        "Alias: an agent has given a wrap-up code to a conversation.";
    "routing.queue.member.update" = "Queue member changed", "Alias: an agent joins, leaves or changes in a queue.";
    "switchhook.alert.cleared" = "Figure back in bounds", "A figure that Switchhook watches is in bounds again.";
    "switchhook.alert.raised" = "Figure out of bounds",
        "A figure that Switchhook watches (lag, backlog age, disk) is out of bounds.";
    "switchhook.breaker.closed" = "Breaker closed", "Requests go out to an endpoint again.";
    "switchhook.breaker.opened" = "Breaker opened",
        "Too many requests to an endpoint failed; it gets none for a while.";
    "switchhook.endpoint.auth-hold" = "Credentials refused",
        "An endpoint refuses the credentials of Switchhook and gets nothing until they change.";
    "switchhook.endpoint.gone" = "Endpoint gone",
        "An endpoint has answered that it is gone and gets nothing until a person acts.";
    "switchhook.endpoint.paused" = "Endpoint paused", "A person has paused an endpoint.";
    "switchhook.endpoint.resumed" = "Endpoint resumed", "A person has resumed an endpoint.";
    "switchhook.job.finished" = "Job finished", "A job, such as a replay, has ended.";
    "v2.analytics.conversations.details.jobs.availability" = "Conversation details available",
        "Until when conversation details can be asked for by jobs.";
    "v2.analytics.flow.{id}.aggregates" = "Flow statistics", "Aggregated figures of a flow.";
    "v2.analytics.flowoutcome.{id}.aggregates" = "Flow outcome statistics", "Aggregated figures of a flow outcome.";
    "v2.analytics.queues.{id}.observations" = "Queue observations",
        "Figures of a queue as they are now: waiting, interacting, on queue.";
    "v2.analytics.users.details.jobs.availability" = "User details available",
        "Until when user details can be asked for by jobs.";
    "v2.analytics.users.{id}.aggregates" = "User statistics", "Aggregated figures of an agent.";
    "v2.analytics.wrapup.{id}.aggregates" = "Wrap-up statistics", "Aggregated figures of a wrap-up code.";
    "v2.architect.dependencytracking.build" = "Dependency tracking built",
        "Progress of building the dependencies of flows.";
    "v2.architect.flows.{id}.generation.{id}" = "Flow published", "Progress of publishing a flow.";
    "v2.architect.prompts.{id}" = "Prompt changed", "A user prompt has changed.";
    "v2.architect.prompts.{id}.resources.{id}" = "Prompt resource changed",
        "A language resource of a user prompt has changed.";
    "v2.architect.systemprompts.{id}.resources.{id}" = "System prompt resource changed",
        "A language resource of a system prompt has changed.";
    "v2.audits.entitytype.{id}.entityid.{id}" = "Audit entry", "Somebody has changed an entity of this type and id.";
    "v2.businessunits.{id}.workforcemanagement.intraday" = "Business unit intraday",
        "Intraday figures of a business unit.";
    "v2.contentmanagement.documents.{id}" = "Document changed", "A document has changed.";
    "v2.contentmanagement.workspaces.{id}.documents" = "Workspace document changed",
        "A document of a workspace has changed.";
    "v2.conversations.{id}.transcription" = "Transcript", "New parts of a conversation's transcript.";
    "v2.detail.events.conversation.{id}.acd.end" = "Left a queue",
        "A conversation has left a queue; the event carries the outcome.";
    "v2.detail.events.conversation.{id}.acd.start" = "Entered a queue", "A conversation has entered a queue.";
    "v2.detail.events.conversation.{id}.acw" = "After-call work",
        "An agent has ended the after-call work of a conversation.";
    "v2.detail.events.conversation.{id}.attributes" = "Attributes changed",
        "Participant attributes of a conversation have changed.";
    "v2.detail.events.conversation.{id}.customer.end" = "Customer left", "A customer has left a conversation.";
    "v2.detail.events.conversation.{id}.customer.start" = "Customer joined", "A customer has joined a conversation.";
    "v2.detail.events.conversation.{id}.flow.end" = "Flow ended", "A flow has ended in a conversation.";
    "v2.detail.events.conversation.{id}.flow.start" = "Flow started", "A flow has started in a conversation.";
    "v2.detail.events.conversation.{id}.outbound" = "Outbound started", "An outbound conversation has begun.";
    "v2.detail.events.conversation.{id}.user.end" = "Agent left", "An agent has left a conversation.";
    "v2.detail.events.conversation.{id}.user.start" = "Agent joined", "An agent has joined a conversation.";
    "v2.detail.events.conversation.{id}.voicemail.end" = "Voicemail ended", "A voicemail was left.";
    "v2.detail.events.conversation.{id}.voicemail.start" = "Voicemail started",
        "A caller has begun to leave a voicemail.";
    "v2.detail.events.conversation.{id}.wrapup" = "Wrap-up code given",
        "An agent has given a wrap-up code to a conversation.";
    "v2.flows.outcomes.{id}" = "Flow outcome changed", "A flow outcome has changed.";
    "v2.flows.{id}" = "Flow changed", "A flow was saved, checked in, published or deleted.";
    "v2.groups.{id}.greetings" = "Group greeting changed", "A greeting of a group has changed.";
    "v2.integrations.inbound.webhook.{id}.invocation" = "Inbound webhook called",
        "An inbound webhook integration was called; the call's body and headers are in the event.";
    "v2.managementunits.{id}.workforcemanagement.intraday" = "Management unit intraday",
        "Intraday figures of a management unit.";
    "v2.operations.events.{id}" = "Operational event",
        "An operational event, such as a failed data action or an unreachable integration.";
    "v2.outbound.attemptlimits.{id}" = "Attempt limits changed", "A set of attempt limits has changed.";
    "v2.outbound.callabletimesets.{id}" = "Callable times changed", "A set of callable times has changed.";
    "v2.outbound.campaignrules.{id}" = "Campaign rule changed", "A campaign rule has changed.";
    "v2.outbound.campaigns.{id}" = "Campaign changed", "A campaign has changed.";
    "v2.outbound.campaigns.{id}.progress" = "Campaign progress", "How far a campaign has got through its contacts.";
    "v2.outbound.campaigns.{id}.stats" = "Campaign statistics", "Figures of a campaign.";
    "v2.outbound.contactlistfilters.{id}" = "Contact filter changed", "A filter of contact lists has changed.";
    "v2.outbound.contactlists.{id}" = "Contact list changed", "A contact list has changed.";
    "v2.outbound.contactlists.{id}.importstatus" = "Contact import", "Progress of importing contacts into a list.";
    "v2.outbound.dnclists.{id}" = "Do-not-contact list changed", "A do-not-contact list has changed.";
    "v2.outbound.dnclists.{id}.importstatus" = "Do-not-contact import",
        "Progress of importing entries into a do-not-contact list.";
    "v2.outbound.messagingcampaigns.{id}" = "Messaging campaign changed", "A messaging campaign has changed.";
    "v2.outbound.messagingcampaigns.{id}.progress" = "Messaging campaign progress",
        "How far a messaging campaign has got through its contacts.";
    "v2.outbound.responsesets.{id}" = "Call response set changed", "A set of call analysis responses has changed.";
    "v2.outbound.rulesets.{id}" = "Rule set changed", "A set of dialing rules has changed.";
    "v2.outbound.schedules.campaigns.{id}" = "Campaign schedule changed", "The schedule of a campaign has changed.";
    "v2.outbound.schedules.sequences.{id}" = "Sequence schedule changed",
        "The schedule of a campaign sequence has changed.";
    "v2.outbound.sequences.{id}" = "Campaign sequence changed", "A campaign sequence has changed.";
    "v2.outbound.settings" = "Outbound settings changed", "The outbound settings of the organisation have changed.";
    "v2.outbound.wrapupcodemappings.{id}" = "Wrap-up mapping changed",
        "A mapping of wrap-up codes for dialing has changed.";
    "v2.quality.evaluations" = "Evaluation changed", "A quality evaluation has changed.";
    "v2.routing.queues.{id}.conversations" = "Queue conversation",
        "A conversation of a queue has changed, whatever its media.";
    "v2.routing.queues.{id}.conversations.callbacks" = "Queue callback", "A callback of a queue has changed.";
    "v2.routing.queues.{id}.conversations.calls" = "Queue call", "A call of a queue has changed.";
    "v2.routing.queues.{id}.conversations.chats" = "Queue chat", "A chat of a queue has changed.";
    "v2.routing.queues.{id}.conversations.cobrowseSessions" = "Queue co-browse session",
        "A co-browse session of a queue has changed.";
    "v2.routing.queues.{id}.conversations.emails" = "Queue email conversation",
        "An email conversation of a queue has changed.";
    "v2.routing.queues.{id}.conversations.messages" = "Queue message conversation",
        "A message conversation of a queue has changed.";
    "v2.routing.queues.{id}.conversations.screenshares" = "Queue screen share",
        "A screen share of a queue has changed.";
    "v2.routing.queues.{id}.conversations.socialexpressions" = "Queue social conversation",
        "A social conversation of a queue has changed.";
    "v2.routing.queues.{id}.conversations.videos" = "Queue video conversation",
        "A video conversation of a queue has changed.";
    "v2.routing.queues.{id}.users" = "Queue member changed", "An agent has joined, left or changed in a queue.";
    "v2.speechandtextanalytics.programs.publishjobs.{id}" = "Program published",
        "Progress of publishing a speech and text analytics program.";
    "v2.speechandtextanalytics.topics.publishjobs.{id}" = "Topic published",
        "Progress of publishing a speech and text analytics topic.";
    "v2.subscription.updated" = "Channel subscription changed",
        "Topics of a notification channel were added or removed.";
    "v2.system.no_longer_subscribed.{id}" = "No longer subscribed",
        "A notification channel has lost a topic to another channel or a revoked token.";
    "v2.system.socket_closing" = "Socket closing",
        "A notification socket will be closed in about a minute; connect again to the same channel.";
    "v2.system.token_revoked.{id}" = "Token revoked",
        "The token that a notification channel was made with is no longer valid.";
    "v2.system.{id}.{id}" = "System message", "A message of the notification service about a channel.";
    "v2.telephony.providers.edges.phones.{id}" = "Phone changed", "A phone has changed.";
    "v2.telephony.providers.edges.trunks.{id}" = "Trunk changed", "A trunk has changed.";
    "v2.telephony.providers.edges.trunks.{id}.metrics" = "Trunk metrics", "Figures of a trunk.";
    "v2.telephony.providers.edges.{id}" = "Edge changed", "An edge has changed.";
    "v2.telephony.providers.edges.{id}.logicalinterfaces" = "Edge interface changed",
        "A logical interface of an edge has changed.";
    "v2.telephony.providers.edges.{id}.metrics" = "Edge metrics", "Figures of an edge.";
    "v2.telephony.providers.edges.{id}.softwareupdate" = "Edge update", "Progress of a software update of an edge.";
    "v2.users.{id}.activity" = "User activity", "Presence and routing status of an agent together.";
    "v2.users.{id}.alerting.heartbeat.alerts" = "Heartbeat alert", "An alert of a heartbeat rule of the user.";
    "v2.users.{id}.alerting.heartbeat.rules" = "Heartbeat rule changed", "A heartbeat rule of the user has changed.";
    "v2.users.{id}.alerting.interactionstats.alerts" = "Interaction alert",
        "An alert of an interaction statistics rule of the user.";
    "v2.users.{id}.alerting.interactionstats.rules" = "Interaction rule changed",
        "An interaction statistics rule of the user has changed.";
    "v2.users.{id}.analytics.reporting.exports" = "Report exported", "Progress of an export that the user asked for.";
    "v2.users.{id}.badges.chats" = "Chat badge", "Unread chats of the user.";
    "v2.users.{id}.callforwarding" = "Call forwarding changed", "The user's call forwarding has changed.";
    "v2.users.{id}.conversations" = "User conversation", "A conversation of a user has changed, whatever its media.";
    "v2.users.{id}.conversations.callbacks" = "User callback", "A callback of a user has changed.";
    "v2.users.{id}.conversations.calls" = "User call", "A call of a user has changed.";
    "v2.users.{id}.conversations.chats" = "User chat", "A chat of a user has changed.";
    "v2.users.{id}.conversations.cobrowseSessions" = "User co-browse session",
        "A co-browse session of a user has changed.";
    "v2.users.{id}.conversations.emails" = "User email conversation", "An email conversation of a user has changed.";
    "v2.users.{id}.conversations.messages" = "User message conversation",
        "A message conversation of a user has changed.";
    "v2.users.{id}.conversations.screenshares" = "User screen share", "A screen share of a user has changed.";
    "v2.users.{id}.conversations.socialexpressions" = "User social conversation",
        "A social conversation of a user has changed.";
    "v2.users.{id}.conversations.videos" = "User video conversation", "A video conversation of a user has changed.";
    "v2.users.{id}.conversations.{id}.recordings" = "Recording changed",
        "A recording of a conversation of the user has changed.";
    "v2.users.{id}.conversations.{id}.recordings.{id}" = "Recording transcoded",
        "A recording of a conversation is ready to be played.";
    "v2.users.{id}.conversationsummary" = "Conversation summary",
        "How many conversations of each media the user has.";
    "v2.users.{id}.fax.documents" = "Fax", "A fax of the user has come or changed.";
    "v2.users.{id}.geolocation" = "Geolocation changed", "The user's location has changed.";
    "v2.users.{id}.greetings" = "User greeting changed", "A greeting of the user has changed.";
    "v2.users.{id}.outbound.contactlists.{id}.export" = "Contact list exported", "An exported contact list is ready.";
    "v2.users.{id}.outbound.dnclists.{id}.export" = "Do-not-contact list exported",
        "An exported do-not-contact list is ready.";
    "v2.users.{id}.outofoffice" = "Out of office changed", "The user's out-of-office notice has changed.";
    "v2.users.{id}.presence" = "Presence changed", "The user's presence has changed.";
    "v2.users.{id}.recordings" = "Recording restored", "A recording that was archived is available again.";
    "v2.users.{id}.routingStatus" = "Routing status changed",
        "Whether the agent can be given conversations has changed.";
    "v2.users.{id}.station" = "Station changed", "The user's station has changed.";
    "v2.users.{id}.tokens" = "Token changed", "A token of the user has changed.";
    "v2.users.{id}.userrecordings" = "User recording changed", "A recording that the user made has changed.";
    "v2.users.{id}.voicemail.messages" = "Voicemail", "A voicemail of the user has come or changed.";
    "v2.users.{id}.wem.coaching.appointment" = "Coaching appointment",
        "A coaching appointment of the user has changed.";
    "v2.users.{id}.wem.learning.assignment" = "Learning assignment", "A learning assignment of the user has changed.";
    "v2.users.{id}.workforcemanagement.adherence" = "User adherence",
        "Whether the agent keeps to the schedule has changed.";
    "v2.users.{id}.workforcemanagement.historicaladherencequery" = "Historical adherence ready",
        "A query of historical adherence that the user asked for has ended.";
    "v2.users.{id}.workforcemanagement.notifications" = "Workforce notification",
        "A workforce management notification for the user.";
    "v2.users.{id}.workforcemanagement.schedules" = "User schedule changed", "The agent's schedule has changed.";
    "v2.users.{id}.workforcemanagement.timeoffrequests" = "Time off requested",
        "A time-off request of the agent has changed.";
    "v2.webdeployments.configurations.{id}" = "Messenger configuration changed",
        "A configuration of the web messenger has changed.";
    "v2.webdeployments.deployments.{id}" = "Messenger deployment changed",
        "A deployment of the web messenger has changed.";
    "v2.webmessaging.deployments.{id}.undelivered.messages" = "Web message undelivered",
        "A web message could not be delivered to the guest.";
    "v2.wem.learning.assignments.modules.{id}" = "Learning rule run",
        "Progress of assigning a learning module by rule.";
    "v2.workforcemanagement.agents" = "Agents moved", "Agents were moved between management units.";
    "v2.workforcemanagement.businessunits.{id}.schedules" = "Business unit schedule",
        "A schedule of a business unit has changed.";
    "v2.workforcemanagement.businessunits.{id}.scheduling.runs" = "Scheduling run", "Progress of making a schedule.";
    "v2.workforcemanagement.businessunits.{id}.shorttermforecasts" = "Forecast changed",
        "A short-term forecast has changed.";
    "v2.workforcemanagement.businessunits.{id}.shorttermforecasts.copy" = "Forecast copied",
        "A short-term forecast was copied.";
    "v2.workforcemanagement.businessunits.{id}.shorttermforecasts.generate" = "Forecast made",
        "Progress of making a short-term forecast.";
    "v2.workforcemanagement.businessunits.{id}.shorttermforecasts.import" = "Forecast imported",
        "A short-term forecast was imported.";
    "v2.workforcemanagement.historicaldata.deletejob" = "Historical data deleted",
        "Progress of deleting uploaded historical data.";
    "v2.workforcemanagement.historicaldata.status" = "Historical data uploaded",
        "Progress of taking in uploaded historical data.";
    "v2.workforcemanagement.managementunits.{id}" = "Management unit moved",
        "A management unit was moved to another business unit.";
    "v2.workforcemanagement.managementunits.{id}.adherence" = "Management unit adherence",
        "Whether agents of a management unit keep to their schedules has changed.";
    "v2.workforcemanagement.managementunits.{id}.agents.sync" = "Agents synchronised",
        "Details of the agents of a management unit were brought up to date.";
    "v2.workforcemanagement.managementunits.{id}.schedules" = "Management unit schedule",
        "A schedule of a management unit has changed.";
    "v2.workforcemanagement.managementunits.{id}.shifttrades.state.bulk" = "Shift trades changed",
        "Shift trades of a management unit were changed together.";
    "v2.workforcemanagement.teams.{id}.adherence" = "Team adherence",
        "Whether agents of a team keep to their schedules has changed.";
    "v2.workforcemanagement.users.{id}.schedules.query" = "Schedules queried",
        "A query of schedules that the user asked for has ended.";
    "v2.workforcemanagement.users.{id}.schedules.search" = "Schedules searched",
        "A search of schedules that the user asked for has ended.";
}

/// The topics of a queue's conversations: the one of all media, and one for each.
const QUEUE_CONVERSATIONS: &[&str] = &[
    "v2.routing.queues.{id}.conversations",
    "v2.routing.queues.{id}.conversations.callbacks",
    "v2.routing.queues.{id}.conversations.calls",
    "v2.routing.queues.{id}.conversations.chats",
    "v2.routing.queues.{id}.conversations.cobrowseSessions",
    "v2.routing.queues.{id}.conversations.emails",
    "v2.routing.queues.{id}.conversations.messages",
    "v2.routing.queues.{id}.conversations.screenshares",
    "v2.routing.queues.{id}.conversations.socialexpressions",
    "v2.routing.queues.{id}.conversations.videos",
];

/// The topics of a user's conversations.
const USER_CONVERSATIONS: &[&str] = &[
    "v2.users.{id}.conversations",
    "v2.users.{id}.conversations.callbacks",
    "v2.users.{id}.conversations.calls",
    "v2.users.{id}.conversations.chats",
    "v2.users.{id}.conversations.cobrowseSessions",
    "v2.users.{id}.conversations.emails",
    "v2.users.{id}.conversations.messages",
    "v2.users.{id}.conversations.screenshares",
    "v2.users.{id}.conversations.socialexpressions",
    "v2.users.{id}.conversations.videos",
];

/// Names that the seeds use, and the topics that they stand for: those whose events say what the name promises. Sorted.
pub(super) const ALIASES: &[(&str, &[&str])] = &[
    (
        "call:answered",
        &["v2.detail.events.conversation.{id}.user.start"],
    ),
    (
        "call:created",
        &["v2.detail.events.conversation.{id}.customer.start"],
    ),
    (
        "message.create",
        &[
            "v2.routing.queues.{id}.conversations.messages",
            "v2.users.{id}.conversations.messages",
        ],
    ),
    ("routing.interaction.update", USER_CONVERSATIONS),
    (
        "routing.queue.conversation.abandoned",
        &["v2.detail.events.conversation.{id}.acd.end"],
    ),
    (
        "routing.queue.conversation.answered",
        &["v2.detail.events.conversation.{id}.user.start"],
    ),
    (
        "routing.queue.conversation.created",
        &["v2.detail.events.conversation.{id}.acd.start"],
    ),
    ("routing.queue.conversation.updated", QUEUE_CONVERSATIONS),
    (
        "routing.queue.conversation.wrapped",
        &["v2.detail.events.conversation.{id}.wrapup"],
    ),
    (
        "routing.queue.member.update",
        &["v2.routing.queues.{id}.users"],
    ),
];

package okidhttp

// Outcome is what came of something that the kit did, for logs and counters. These
// constants are the only values. docs/operations.md says which of them ask for attention.
type Outcome string

const (
	// OutcomeApplied means that a notice took effect, and that the host knows.
	OutcomeApplied Outcome = "applied"
	// OutcomeQueued means that a notice is durable, and that [Kit.Run] will tell the host.
	OutcomeQueued Outcome = "queued"
	// OutcomeHeld means that a verification is durable, and waits for its subject to come
	// back. See [Config.RequireReturn].
	OutcomeHeld Outcome = "held"
	// OutcomeDuplicate means that a notice was delivered again.
	OutcomeDuplicate Outcome = "duplicate"
	// OutcomeLate means that a notice has been overtaken, and says nothing that matters.
	OutcomeLate Outcome = "late"
	// OutcomeUnknownWord means that a notice uses a word that the kit does not know.
	OutcomeUnknownWord Outcome = "unknown_word"
	// OutcomeUnknownAttempt means that an authentic notice does not belong to an attempt of
	// this kit, or contradicts what the attempt was started with.
	OutcomeUnknownAttempt Outcome = "unknown_attempt"
	// OutcomeImplausible means that an authentic notice names a time before the attempt
	// began, or in the future.
	OutcomeImplausible Outcome = "implausible_time"
	// OutcomeVetoed means that [Config.Decide] refused a verification.
	OutcomeVetoed Outcome = "vetoed"
	// OutcomeDocumentRefused means that a verification was refused because its document had
	// expired, or has an expiry date that cannot be read.
	OutcomeDocumentRefused Outcome = "document_refused"
	// OutcomeUnreadable means that a verification has a date that cannot be read. The log
	// names the field. Without its expiry a document opens no gate, see
	// [Config.AllowExpiredDocument], and without a date of birth nobody has an age.
	OutcomeUnreadable Outcome = "unreadable_date"
	// OutcomeUnauthentic means that a webhook or a claim was not signed by the provider, or
	// that a webhook has no usable timestamp.
	OutcomeUnauthentic Outcome = "unauthentic"
	// OutcomeHint means that a webhook came which cannot be authenticated. If it names an
	// attempt, the provider is asked about that.
	OutcomeHint Outcome = "hint"
	// OutcomeStale means that an authentic webhook was too old to be believed, and that the
	// provider could not settle it.
	OutcomeStale Outcome = "stale"
	// OutcomeMalformed means that an authentic webhook, or a claim, cannot be read.
	OutcomeMalformed Outcome = "malformed"
	// OutcomeBodyRead means that something in front of the kit has read the body of a
	// webhook or a claim.
	OutcomeBodyRead Outcome = "body_already_read"
	// OutcomeBusy means that a request was turned away because too much is going on: more
	// webhooks or claims than [Config.MaxInFlight], more unread bodies than there is memory
	// for, or more claims or starts of one subject at a time than are allowed.
	OutcomeBusy Outcome = "busy"
	// OutcomeInFlight means that the host is being told about the attempt elsewhere.
	OutcomeInFlight Outcome = "in_flight"
	// OutcomeCallbackFailed means that a callback failed, and will be tried again.
	OutcomeCallbackFailed Outcome = "callback_failed"
	// OutcomeStuck means that [Kit.Run] has worked on one subject's record for much longer
	// than callbacks may take, so that one of them must be ignoring its context. Other
	// subjects are served all the same; this one is not until it returns.
	OutcomeStuck Outcome = "stuck"
	// OutcomeDeadLetter means that an event was given up. See [DeadLetter].
	OutcomeDeadLetter Outcome = "dead_letter"
	// OutcomeUnaddressable means that an attempt expired whose user came back from the
	// provider, but of which no webhook ever came.
	OutcomeUnaddressable Outcome = "unaddressable"
	// OutcomeNoVerdict means that a claim has led to no verdict within 15 minutes.
	OutcomeNoVerdict Outcome = "no_verdict"
	// OutcomeClaimTaken means that a user presented a claim that was used before: by another
	// user, or by the same one, whose record was erased or has expired since.
	OutcomeClaimTaken Outcome = "claim_taken"
	// OutcomeProviderFailed means that the provider could not be asked, or refused.
	OutcomeProviderFailed Outcome = "provider_failed"
	// OutcomeStoreFailed means that the store could not be read or written.
	OutcomeStoreFailed Outcome = "store_failed"
	// OutcomeSubjectFailed means that [Config.Subject] could not tell who somebody is.
	OutcomeSubjectFailed Outcome = "subject_failed"
	// OutcomeClientGone means that a request was dropped because its client had hung up, or
	// because Run ended meanwhile.
	OutcomeClientGone Outcome = "client_gone"
	// OutcomeStarted means that an attempt was started at the provider.
	OutcomeStarted Outcome = "started"
	// OutcomeLimited means that an attempt was refused by [Config.StartLimit].
	OutcomeLimited Outcome = "limited"
	// OutcomeStaff means that staff have acted, by [Kit.Revoke], [Kit.Approve] or
	// [Kit.ResetLimit].
	OutcomeStaff Outcome = "staff"
	// OutcomeErased means that a provider has erased a verification, see
	// [Config.EraseAtProvider].
	OutcomeErased Outcome = "erased"
	// OutcomeEraseFailed means that a provider did not. It is asked again for thirty days.
	OutcomeEraseFailed Outcome = "erase_failed"
)

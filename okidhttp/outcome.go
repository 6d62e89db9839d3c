package okidhttp

// Outcome is what came of something that the kit did, for logs and counters.
// There are no others than these constants.
type Outcome string

const (
	// OutcomeApplied: a notice took effect, and the host knows.
	OutcomeApplied Outcome = "applied"
	// OutcomeQueued: a notice is durable, and Run will tell the host.
	OutcomeQueued Outcome = "queued"
	// OutcomeHeld: a verification is durable, and waits for its subject to come
	// back (Config.RequireReturn).
	OutcomeHeld Outcome = "held"
	// OutcomeDuplicate: a notice was delivered again.
	OutcomeDuplicate Outcome = "duplicate"
	// OutcomeLate: a notice says nothing that still matters.
	OutcomeLate Outcome = "late"
	// OutcomeUnknownWord: a notice uses a word that the kit does not know.
	OutcomeUnknownWord Outcome = "unknown_word"
	// OutcomeUnknownAttempt: an authentic notice does not belong to an attempt of
	// this kit, or contradicts what the attempt was started with.
	OutcomeUnknownAttempt Outcome = "unknown_attempt"
	// OutcomeImplausible: an authentic notice tells of a time before the attempt
	// began or after now.
	OutcomeImplausible Outcome = "implausible_time"
	// OutcomeVetoed: Config.Decide refused a verification.
	OutcomeVetoed Outcome = "vetoed"
	// OutcomeDocumentRefused: a verification was refused for its document, which had
	// expired, or whose expiry date cannot be read.
	OutcomeDocumentRefused Outcome = "document_refused"
	// OutcomeUnreadable: a verification has a date that is there and cannot be read,
	// which the log names. Without its expiry a document opens no gate (see
	// Config.AllowExpiredDocument), and without a date of birth nobody has an age.
	OutcomeUnreadable Outcome = "unreadable_date"
	// OutcomeUnauthentic: a webhook was not signed by the provider, or carries
	// no usable timestamp.
	OutcomeUnauthentic Outcome = "unauthentic"
	// OutcomeStale: an authentic webhook was too old to be believed, and the
	// provider could not settle it.
	OutcomeStale Outcome = "stale"
	// OutcomeMalformed: an authentic webhook cannot be read.
	OutcomeMalformed Outcome = "malformed"
	// OutcomeBodyRead: something in front of the kit read the body of a webhook or
	// claim.
	OutcomeBodyRead Outcome = "body_already_read"
	// OutcomeBusy: a request was refused because too much is going on: more webhooks
	// or claims than Config.MaxInFlight, more bodies than there is memory for, or
	// more claims or starts of one subject at the same time than one subject may have.
	OutcomeBusy Outcome = "busy"
	// OutcomeInFlight: the host is being told about the attempt elsewhere.
	OutcomeInFlight Outcome = "in_flight"
	// OutcomeCallbackFailed: the host's callback failed and will be tried again.
	OutcomeCallbackFailed Outcome = "callback_failed"
	// OutcomeStuck: Run has worked on a user's record for much longer than callbacks
	// may take, so one of them does not look at its context. Other users are served
	// all the same, this one not until it returns.
	OutcomeStuck Outcome = "stuck"
	// OutcomeDeadLetter: a notice was given up.
	OutcomeDeadLetter Outcome = "dead_letter"
	// OutcomeUnaddressable: an attempt has expired whose user came back from the
	// provider, but of which no webhook ever came.
	OutcomeUnaddressable Outcome = "unaddressable"
	// OutcomeNoVerdict: a claim has led to no verdict within 15 minutes.
	OutcomeNoVerdict Outcome = "no_verdict"
	// OutcomeClaimTaken: a user presented the claim to a verification that another
	// user had claimed before, or the same user, but it was erased or forgotten.
	OutcomeClaimTaken Outcome = "claim_taken"
	// OutcomeProviderFailed: the provider could not be asked, or refused.
	OutcomeProviderFailed Outcome = "provider_failed"
	// OutcomeStoreFailed: the store could not be read or written.
	OutcomeStoreFailed Outcome = "store_failed"
	// OutcomeSubjectFailed: Config.Subject could not tell who somebody is.
	OutcomeSubjectFailed Outcome = "subject_failed"
	// OutcomeClientGone: a request was not dealt with because its client had hung up,
	// or Run ended meanwhile.
	OutcomeClientGone Outcome = "client_gone"
	// OutcomeStarted: an attempt was started at the provider.
	OutcomeStarted Outcome = "started"
	// OutcomeLimited: an attempt was refused by Config.StartLimit.
	OutcomeLimited Outcome = "limited"
)

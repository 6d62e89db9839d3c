class VerificationSDK {
	// The SDK of the okID portal's simulator. It takes the options that okID documents at
	// https://docs.okid.io/docs/integration. It runs under a strict Content-Security-Policy.

	#options;
	#end = null;

	constructor(options = {}) {
		this.#options = options;
	}

	// openWithVerificationId opens the portal over the page. A second call does nothing while it
	// is open.
	openWithVerificationId(id) {
		if (this.#end) return;
		const { baseUrl, locale = "en" } = this.#options;
		const flow = new URL(baseUrl.replace(/\/$/, "") + "/verify");
		flow.search = new URLSearchParams({ verification_id: id, locale });
		let told = false;
		this.#end = openSimulator(flow, "okID portal simulator", ({ portal, data }) => {
			const hear = { success: "onSuccess", review: "onNeedsReview", error: "onError", close: "onClose" }[portal];
			if (!hear) return;
			told = true;
			this.#end();
			this.#options[hear]?.(data);
		}, () => {
			this.#end = null;
			if (!told) this.#options.onClose?.();
		});
	}

	// forceClose closes the portal.
	forceClose() {
		this.#end?.();
	}
}

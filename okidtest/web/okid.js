class okID {
	// The SDK of the okID simulator. It takes the options that okID documents at
	// https://www.okid.io/developer. It runs under a strict Content-Security-
	// Policy: no eval, no inline handler, no style attribute in markup.

	#config;
	#open = false;

	// Without URLs in the config it stays with the simulator that served it, and
	// does not wander off to the real okID.
	static #home = new URL("..", document.currentScript?.src ?? location.href).href;

	constructor(config = {}) {
		const home = okID.#home.replace(/\/$/, "");
		this.#config = { apiUrl: home, frontendUrl: home, flowName: "standard", locale: "en", ...config };
	}

	// init opens the flow over the page. A second call does nothing while it is
	// open, and opens it again once it was closed.
	init() {
		if (this.#open) return;
		const { frontendUrl, processToken, flowName, locale } = this.#config;
		const flow = new URL(frontendUrl.replace(/\/$/, "") + "/flow");
		flow.search = new URLSearchParams({ process_token: processToken ?? "", flow_name: flowName, locale });

		this.#open = true;
		const end = openSimulator(flow, "okID simulator", ({ okid, data, next }) => {
			if (!["complete", "error", "close"].includes(okid)) return;
			end();
			if (okid === "complete") this.#config.onComplete?.(data);
			if (okid === "error") this.#config.onError?.(data);
			if (next) location.assign(next);
		}, () => { this.#open = false; });
	}
}

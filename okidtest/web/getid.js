// The partner's script of the GetID simulator. It has what Checkin.com documents
// at https://dev.checkin.com/docs/dataflow and is of use to a page that only
// checks documents. It runs under a strict Content-Security-Policy: no eval, no
// inline handler, no style attribute in markup.
(() => {
	"use strict";

	const flow = new URL("flow", document.currentScript.src);
	let onComplete, onUpdate;
	let shown = false;

	// open shows the flow over the page. A second call does nothing while it is
	// open, and opens it again once it was closed.
	const open = () => {
		if (shown) return;
		shown = true;
		const end = openSimulator(flow, "GetID simulator", ({ getid: ocr }) => {
			if (!ocr) return;
			end();
			const result = { data: { ocr }, completeData: { ocr } };
			onUpdate?.(result);
			onComplete?.(result);
		}, () => { shown = false; });
	};

	window.checkin = {
		settings: { setLang: (lang) => flow.searchParams.set("locale", lang) },
		signUp: { open },
		dataFlow: {
			setOnComplete: (f) => { onComplete = f; },
			setOnUpdate: (f) => { onUpdate = f; },
		},
	};
	window.onCheckinLoad?.(window.checkin);
})();

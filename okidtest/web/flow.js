// Tells the page that frames the flow how it ended; on its own, goes where the
// user is to go. Without this script, the links on the page do the latter.
"use strict";

const text = document.body.dataset.message;
if (text) {
	const message = JSON.parse(text);
	if (window.parent !== window) {
		// Any origin may hear it, since any may frame the flow, and there is no
		// secret in it.
		window.parent.postMessage(message, "*");
	} else if (message.next) {
		location.replace(message.next);
	}
}

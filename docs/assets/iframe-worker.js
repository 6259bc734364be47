// Browsers refuse workers from disk, which the search runs in: there a hidden frame takes the place of one.
"use strict"
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.body.appendChild(document.createElement("iframe"))
      frame.hidden = true
      this.inside = frame.contentWindow
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      this.inside.importScripts = (...urls) => urls.reduce((before, one) => before.then(() => this.run(one)), Promise.resolve())
      this.ready = this.run(url)
    }

    run(url) {
      const script = this.inside.document.createElement("script")
      const loaded = new Promise((done, failed) => Object.assign(script, { onload: done, onerror: failed }))
      this.inside.document.body.appendChild(Object.assign(script, { src: url }))
      return loaded
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
}

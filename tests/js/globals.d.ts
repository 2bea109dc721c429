// What the page's scripts find around them. Elements are found by names that the templates give, so their kind is not checked.
declare var reportgen: any;
declare var Bokeh: any;
declare var module: any;
declare var __settled: any;
declare var __studio: any;

interface Document {
  getElementById(id: string): any;
}
interface ParentNode {
  querySelector(selectors: string): any;
  querySelectorAll(selectors: string): NodeListOf<any>;
}
interface EventTarget {
  [name: string]: any;
}
interface Element {
  closest(selectors: string): any;
}
interface Uint8ArrayConstructor {
  fromBase64?: (text: string) => Uint8Array<ArrayBuffer>;
}

/** The sentences about files of other programs, a part of the table in `../text.ts`. */

export const IMPORT_TEXT = {
  'import.label': 'Coming from go2rtc, Frigate or MediaMTX?',
  'import.hint':
    'Drop its configuration file here, or choose it. The gateway reads it; passwords are ' +
    'encrypted for the gateway, and no command in it is executed.',
  'import.choose': 'Choose a file',
  'import.reading': 'Reading {name}…',
  'import.too-long': 'The file has more than 256 KiB. Leave out what is not about cameras.',
  'import.title': 'Cameras from {program}',
  'import.summary': '{taken} of {count} cameras in {name} can be added.',
  'import.left-out': '{count} more cameras are left out: there are too many for one gateway.',
  'import.all': 'Choose all',
  'import.none': 'Choose none',
  'import.add.one': 'Add 1 camera',
  'import.add.other': 'Add {count} cameras',
  'import.adding': 'Adding cameras: {saved} of {count} done',
  'import.not-taken': 'Cannot be added',
  'import.with-sub': '{address}, with a second stream',
  'import.note.protocol':
    'It is a “{name}” source, and only RTSP is taken. Switch RTSP or ONVIF on in the ' +
    'camera, and add it by its address.',
  'import.note.http':
    'It is fetched over HTTP, and only RTSP is taken. Switch RTSP or ONVIF on in the ' +
    'camera, and add it by its address.',
  'import.note.cloud':
    'It comes through the service of its vendor (“{name}”). If the camera has RTSP in your ' +
    'own network, add it by its address.',
  'import.note.command':
    'It is the output of a command (“{name}”), and no command of a file is executed. Add ' +
    'the camera by its address.',
  'import.note.attached':
    'It is a device or file of that machine (“{name}”). Serve it with RTSP, and add it by ' +
    'that address.',
  'import.note.tunnel':
    'It is RTSP inside of HTTP or a web socket. Write it into the configuration of the ' +
    'gateway with #transport=http, or add the camera by its RTSP address.',
  'import.note.no-video': 'Only its sound is used there. Nothing is to be added.',
  'import.note.pushed':
    'Nothing is fetched for it; its picture is sent there. Add the camera by its address.',
  'import.note.pattern':
    'Its name stands for any number of streams. Add the cameras behind it by their addresses.',
  'import.note.reference':
    'It refers to the stream “{name}”, which is not in this file. Add the camera by its address.',
  'import.note.variable':
    'Its address has the variable {name}, whose value is not in this file. Write the value ' +
    'into the file, or add the camera by its address.',
  'import.note.address':
    'The address in line {line} cannot be understood. Check it, and write # / ? @ in a ' +
    'password as %23 %2F %3F %40.',
  'import.note.password':
    'Its password is the variable {name}, whose value is not in this file. You are asked ' +
    'for the password.',
  'import.note.disabled': 'It is switched off in this file.',
  'import.note.duplicate': 'It has the same address as “{name}”.',
  'import.note.twice': 'The name is used again in line {line}. Check which one is right.',
  'import.note.spare': 'No camera of this file uses this stream.',
  'import.note.other-sub':
    'Its second stream is at another machine or has another password, and is left out. Add ' +
    'it as a camera of its own if you need it.',
  'import.note.other-onvif':
    'Its ONVIF address is at another machine or has another password, and is left out. ' +
    'Without it the camera is shown, but not moved.',
  'import.note.converted':
    'Its picture is converted or turned there; here it is shown as the camera sends it.',
  'import.note.ignored': 'Not taken over: {name}.',
  'import.note.known': 'The camera “{name}” has this address already.',
} as const;
